//! The mode of a file by a descriptor of any kind.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::{CWD, Mode, chmodat};
use rustix::io::Errno;

/// Sets the mode of an open file. The descriptor may be one for its properties only (`O_PATH`), which fchmod(2) refuses.
///
/// # Errors
/// When the system refuses.
pub fn chmod(file: impl AsFd, mode: u32) -> io::Result<()> {
    let file = file.as_fd();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match chmodat(CWD, path, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty()) {
        // Without /proc, the call that newer kernels have.
        Err(Errno::NOENT) => chmod_at_empty_path(file, mode),
        set => Ok(set?),
    }
}

/// fchmodat2(2) with `AT_EMPTY_PATH`, since Linux 6.6.
fn chmod_at_empty_path(file: impl AsFd, mode: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the path is NUL-terminated; the call writes to no memory of this process.
    let result = unsafe {
        libc::syscall(libc::SYS_fchmodat2, file.as_fd().as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no O_PATH")]
    fn the_mode_is_set_by_a_descriptor_for_properties() {
        let path = std::env::temp_dir().join(format!("dormouse-chmod-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW;
        let file = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        chmod(&file, 0o640).unwrap();
        assert_eq!(mode(), 0o640);
        match chmod_at_empty_path(&file, 0o600) {
            Ok(()) => assert_eq!(mode(), 0o600),
            // An older kernel.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS)),
        }
        fs::remove_file(path).unwrap();
    }
}
