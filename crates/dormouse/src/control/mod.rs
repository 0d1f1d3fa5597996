//! Seeing and steering what runs: a control socket that speaks `HAProxy`'s language and ours, and a web address with
//! metrics and a page. Neither ever keeps a session waiting: what they write is made in pieces, few clients are served
//! at a time, and each piece has a deadline.

mod answer;
mod columns;
mod explain;
mod house;
mod http;
mod info;
mod metrics;
mod process;
mod rows;
mod servers_state;
mod session_list;
mod socket;
mod stat;
mod steer;
mod view;

use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use dormouse_core::address::ListenAddress;
use tokio::task::JoinSet;

use crate::config::model::{Control, Oversight};
use crate::ledger::log::{Level, Log};
use crate::listener::{self, ListenOptions, Listener, OpenError};
pub use house::{Door, House};

/// Where the control socket is unless told, in the service manager's directory or a user's.
const FILE: &str = "control.sock";
/// Only whoever runs it may steer it.
const MODE: u32 = 0o600;

/// The sockets of those who look, open and not yet served.
#[derive(Debug)]
pub struct Windows {
    control: Option<Listener>,
    http: Option<Listener>,
}

impl Windows {
    /// Opens them.
    ///
    /// # Errors
    /// When we cannot listen where we are told to. Where nobody told us to, that is only logged.
    pub fn open(oversight: &Oversight, log: &Log) -> Result<Self, OpenError> {
        let control = match &oversight.control {
            Control::Off => None,
            Control::At { address, options } => {
                let mut options = options.clone();
                options.file.mode.get_or_insert(MODE);
                Some(listener::open(address, &options)?)
            }
            Control::Usual => usual(|name| std::env::var_os(name)).and_then(|address| {
                let mut options = ListenOptions::default();
                options.file.mode = Some(MODE);
                let opened = listener::open(&address, &options);
                opened
                    .inspect_err(|error| log.line(Level::Notice, format_args!("No control socket: {error}")))
                    .ok()
            }),
        };
        let http = match oversight.http {
            Some(address) => Some(listener::open(&ListenAddress::Tcp(address), &ListenOptions::default())?),
            None => None,
        };
        Ok(Self { control, http })
    }

    /// Whether anybody may look.
    pub fn any(&self) -> bool {
        self.control.is_some() || self.http.is_some()
    }

    /// How many descriptors those who look may need.
    pub fn descriptors(&self) -> u64 {
        let control = if self.control.is_some() { socket::CLIENTS + 1 } else { 0 };
        let http = if self.http.is_some() { http::CLIENTS + 1 } else { 0 };
        u64::try_from(control + http).unwrap_or(u64::MAX)
    }

    /// Serves whoever comes, by tasks that the set owns.
    pub fn serve(self, house: &Arc<House>, tasks: &mut JoinSet<()>) {
        let Self { control, http } = self;
        if let Some(listener) = control {
            house.log.line(Level::Info, format_args!("Commands are taken at {listener}."));
            tasks.spawn(socket::serve(listener, Arc::clone(house)));
        }
        if let Some(listener) = http {
            house.log.line(Level::Info, format_args!("The page and the metrics are at http://{listener}/."));
            tasks.spawn(http::serve(listener, Arc::clone(house)));
        }
    }
}

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
