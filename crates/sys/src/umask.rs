//! New files with a mode that needs no change afterwards.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

use rustix::fs::Mode;
use rustix::process::umask;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Calls `create` in a thread in which a file that is made for everybody gets this mode (umask(2)): a socket that is bound,
/// for example. Where the system refuses such a thread, the umask of the process counts.
pub fn with_mode<T: Send>(mode: u32, create: impl Fn() -> T + Sync) -> T {
    scope(|scope| {
        let own = || {
            if own_umask().is_ok() {
                umask(Mode::from_raw_mode(!mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO));
            }
            create()
        };
        match Builder::new().spawn_scoped(scope, own) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => create(),
        }
    })
}

/// Gives this thread a umask of its own, and a working directory.
fn own_umask() -> rustix::io::Result<()> {
    // SAFETY: the flags contain neither FILES nor VM: all descriptors and all memory stay as they are.
    unsafe { unshare_unsafe(UnshareFlags::FS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no UNIX sockets with names")]
    fn a_socket_is_bound_with_its_mode_and_the_process_keeps_its_umask() {
        let path =
            |name: &str| std::env::temp_dir().join(format!("dormouse-umask-{name}-{}", std::process::id()));
        let mode = |name: &str| {
            let mode = fs::metadata(path(name)).unwrap().mode() & 0o7777;
            fs::remove_file(path(name)).unwrap();
            mode
        };
        let plain = |name: &str| drop(UnixListener::bind(path(name)).unwrap());
        plain("before");
        for wanted in [0o600, 0o777, 0o624] {
            with_mode(wanted, || plain("own"));
            assert_eq!(mode("own"), wanted);
        }
        plain("after");
        assert_eq!(mode("before"), mode("after"));
    }
}
