//! Names of UNIX sockets.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::AddressError;

/// The longest name that fits into `sun_path` with its zero byte (after a path, before an abstract name), in bytes.
const MAX_NAME: usize = 107;

/// The absolute path of a UNIX socket, short enough for a socket address and free of zero bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnixPath(PathBuf);

impl UnixPath {
    pub(super) fn parse(text: &OsStr) -> Result<Self, AddressError> {
        let bytes = text.as_bytes();
        if bytes.len() > MAX_NAME {
            return Err(AddressError::UnixPathTooLong { length: bytes.len() });
        }
        if bytes.contains(&0) {
            return Err(AddressError::ZeroByte);
        }
        if bytes.ends_with(b"/") {
            return Err(AddressError::UnixPathIsDirectory);
        }
        Ok(Self(PathBuf::from(text)))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for UnixPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for UnixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The name of a UNIX socket in the abstract namespace, without the zero byte (or `@`) before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AbstractName(Vec<u8>);

impl AbstractName {
    /// Parses the part after the `@`.
    pub(super) fn parse(name: &[u8]) -> Result<Self, AddressError> {
        if name.is_empty() {
            return Err(AddressError::AbstractNameEmpty);
        }
        if name.len() > MAX_NAME {
            return Err(AddressError::AbstractNameTooLong { length: name.len() });
        }
        if name.contains(&0) {
            return Err(AddressError::ZeroByte);
        }
        Ok(Self(name.to_vec()))
    }

    /// The bytes of the name, 1 to 107 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for AbstractName {
    /// Prints the name with its `@`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", String::from_utf8_lossy(&self.0))
    }
}

/// Whether a text without a slash looks like a socket in the current directory.
pub(super) fn is_socket_name(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|extension| extension == "sock")
}
