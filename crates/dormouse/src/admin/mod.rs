//! Seeing and steering what runs: a control socket that speaks `HAProxy`'s language and ours, and a web address with
//! metrics and a page. Neither ever keeps a session waiting: what they write is made in pieces, with a turn for everybody
//! else in between, few clients are served at a time, and all that they do has a deadline. The control socket writes each
//! piece before it makes the next; an answer over HTTP is put together first, and sent as a whole.

mod answer;
mod columns;
mod entrance;
mod explain;
mod http;
mod info;
mod metrics;
mod process;
mod rows;
mod running;
mod servers_state;
mod session_list;
mod socket;
mod stat;
mod steer;
mod view;
mod windows;

use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use dormouse_core::address::ListenAddress;

pub use running::{Running, RunningService};
pub use windows::{Refit, Windows};

/// Where the control socket is unless told, in the service manager's directory or a user's.
const FILE: &str = "control.sock";
/// Where the control socket is when nothing is said: in the directory that the service manager made for us, if it did.
fn usual(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<ListenAddress> {
    let directories = variable("RUNTIME_DIRECTORY")?;
    let first = directories.to_str()?.split(':').next().filter(|first| first.starts_with('/'))?;
    let path = PathBuf::from(first).join(FILE);
    // It may be missing when somebody else's environment was inherited.
    let _ = std::fs::DirBuilder::new().mode(0o755).create(first);
    ListenAddress::parse(path.to_str()?).ok()
}

/// Where a control socket may be, for whoever looks for one: the system's place, then a user's.
pub fn places(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let system = PathBuf::from("/run/dormouse").join(FILE);
    let user = variable("XDG_RUNTIME_DIR").filter(|directory| directory != OsStr::new(""));
    let user = user.map(|directory| PathBuf::from(directory).join("dormouse").join(FILE));
    std::iter::once(system).chain(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_is_the_managers() {
        let usual_in = |directory: &str| usual(|_| Some(directory.into())).map(|address| address.to_string());
        let directory = std::env::temp_dir();
        let directory = directory.to_str().unwrap();
        assert_eq!(usual_in(&format!("{directory}:/other")), Some(format!("{directory}/control.sock")));
        assert_eq!(usual_in("relative"), None);
        assert_eq!(usual(|_| None), None);
        let found = places(|_| Some("/run/user/7".into()));
        assert_eq!(found.last(), Some(&PathBuf::from("/run/user/7/dormouse/control.sock")));
    }
}
