//! Administration: a control socket with the commands of `HAProxy` and of dormouse, and a web address with metrics and a
//! status page. Neither delays sessions: answers are made in pieces with a yield after each, few clients are served at a
//! time, and every operation has a deadline. The control socket writes each piece before it makes the next; an HTTP
//! answer is assembled first and sent as a whole.

mod acceptor;
mod answer;
mod explain;
mod field;
mod host_check;
mod http;
mod info;
mod listeners;
mod local_stream;
mod metrics;
mod next_action;
mod process;
mod progress;
mod running;
mod server_status;
mod servers_state;
mod services;
mod session_list;
mod shared;
mod socket;
mod stat;
mod state;
mod steer;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use dormouse_client::FILE;
use dormouse_core::address::ListenAddress;

pub use listeners::{AdminListeners, Reconfigure};
pub use running::{Running, RunningService};

/// Returns the default address of the control socket: in the directory that the service manager created, if it did.
pub(crate) fn usual_address() -> Option<ListenAddress> {
    usual(|name| std::env::var_os(name))
}

fn usual(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<ListenAddress> {
    let directories = variable("RUNTIME_DIRECTORY")?;
    let first = directories.to_str()?.split(':').next().filter(|first| first.starts_with('/'))?;
    let path = PathBuf::from(first).join(FILE);
    // The directory may be missing if the environment of another service was inherited.
    let _ = std::fs::DirBuilder::new().mode(0o755).create(first);
    ListenAddress::parse(path.to_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_in_the_directory_of_the_service_manager() {
        let usual_in = |directory: &str| usual(|_| Some(directory.into())).map(|address| address.to_string());
        let directory = std::env::temp_dir();
        let directory = directory.to_str().unwrap();
        assert_eq!(usual_in(&format!("{directory}:/other")), Some(format!("{directory}/control.sock")));
        assert_eq!(usual_in("relative"), None);
        assert_eq!(usual(|_| None), None);
    }
}
