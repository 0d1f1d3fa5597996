//! What a start needs in addition to the program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{ErrorContext, Result},
    net::{Endpoint, Family},
};

/// The most sessions of a program: more than any load opens, and within a hard limit of 20 000 descriptors at two each.
pub(super) const MAX_CONNECTIONS: &str = "8000";

/// What a start needs in addition to the program.
pub(crate) struct StartParameters<'a> {
    pub(crate) scratch: &'a Path,
    /// Makes the file names of this start unique.
    pub(crate) serial: u64,
    pub(crate) client_side: Family,
    pub(crate) target: &'a Endpoint,
    pub(crate) variant: Variant,
}

/// A variant of the configuration of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Default,
    /// The output is discarded, because it may be millions of lines.
    DiscardLog,
    /// The send buffers towards clients are small, as with `SendBuffer=` in a socket unit. By default they grow to
    /// megabytes before a reader counts as slow.
    SmallBuffers,
}

/// The size of a buffer with [`Variant::SmallBuffers`], in bytes.
pub(super) const SMALL_BUFFER: usize = 16 * 1024;

impl StartParameters<'_> {
    pub(super) fn has_small_buffers(&self) -> bool {
        self.variant == Variant::SmallBuffers && self.client_side == Family::Tcp
    }

    /// Returns the path of a file of this start.
    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.scratch.join(format!("{}.{ending}", self.serial))
    }
}

/// Writes a configuration file.
pub(super) fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context(|| format!("write {}", path.display()))
}
