//! Where those who look are served, and how that becomes another place while they look.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_core::address::ListenAddress;
use tokio::task::JoinHandle;

use super::{House, http, socket, usual};
use crate::config::model::{Control, Oversight};
use crate::ledger::log::{Level, Log};
use crate::listener::{self, ListenOptions, Listener, OpenError};

/// Only whoever runs it may steer it.
const MODE: u32 = 0o600;

/// The sockets of those who look, and the tasks that serve them.
#[derive(Debug, Default)]
pub struct Windows {
    control: Option<Open>,
    http: Option<Open>,
}

/// One of them. Nobody is served there any more when this is dropped.
#[derive(Debug)]
struct Open {
    /// As it is configured.
    address: ListenAddress,
    listener: Arc<Listener>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to become of the windows; the new ones are open already.
#[derive(Debug)]
pub struct Refit {
    control: Change,
    http: Change,
}

#[derive(Debug)]
enum Change {
    /// The same address; its file is to be like that.
    Keep(ListenOptions),
    Close,
    Open(ListenAddress, Listener),
}

impl Windows {
    /// Opens what is not open yet.
    ///
    /// # Errors
    /// When we cannot listen where we are told to. Where nobody told us to, that is only logged.
    pub fn refit(&self, oversight: &Oversight, log: &Log) -> Result<Refit, OpenError> {
        let control = match &oversight.control {
            Control::Off => Change::Close,
            Control::At { address, options } => {
                let mut options = options.clone();
                options.file.mode.get_or_insert(MODE);
                change(self.control.as_ref(), address, options)?
            }
            Control::Usual => match usual(|name| std::env::var_os(name)) {
                None => Change::Close,
                Some(address) => {
                    let mut options = ListenOptions::default();
                    options.file.mode = Some(MODE);
                    change(self.control.as_ref(), &address, options).unwrap_or_else(|error| {
                        log.line(Level::Notice, format_args!("No control socket: {error}"));
                        Change::Close
                    })
                }
            },
        };
        let http = match oversight.http {
            Some(address) => {
                change(self.http.as_ref(), &ListenAddress::Tcp(address), ListenOptions::default())?
            }
            None => Change::Close,
        };
        Ok(Refit { control, http })
    }

    /// Serves whoever comes there, and nobody any more elsewhere.
    pub fn put_in(&mut self, refit: Refit, house: &Arc<House>) {
        let Refit { control, http } = refit;
        control.apply(&mut self.control, |listener| {
            house.log.line(Level::Info, format_args!("Commands are taken at {listener}."));
            tokio::spawn(socket::serve(listener, Arc::clone(house)))
        });
        http.apply(&mut self.http, |listener| {
            house.log.line(Level::Info, format_args!("The page and the metrics are at http://{listener}/."));
            tokio::spawn(http::serve(listener, Arc::clone(house)))
        });
        house.descriptors.store(self.descriptors(), Ordering::Relaxed);
        if self.control.is_some() || self.http.is_some() {
            house.ledger.watch();
        }
    }

    /// How many descriptors those who look may need.
    fn descriptors(&self) -> u64 {
        let control = if self.control.is_some() { socket::CLIENTS + 1 } else { 0 };
        let http = if self.http.is_some() { http::CLIENTS + 1 } else { 0 };
        u64::try_from(control + http).unwrap_or(u64::MAX)
    }
}

fn change(open: Option<&Open>, address: &ListenAddress, options: ListenOptions) -> Result<Change, OpenError> {
    if open.is_some_and(|open| open.address == *address && !open.task.is_finished()) {
        return Ok(Change::Keep(options));
    }
    Ok(Change::Open(address.clone(), listener::open(address, &options)?))
}

impl Change {
    fn apply(self, open: &mut Option<Open>, serve: impl FnOnce(Arc<Listener>) -> JoinHandle<()>) {
        match self {
            Self::Keep(options) => {
                if let Some(open) = open {
                    open.listener.set_file(&options.file);
                }
            }
            Self::Close => *open = None,
            Self::Open(address, listener) => {
                let listener = Arc::new(listener);
                let task = serve(Arc::clone(&listener));
                *open = Some(Open { address, listener, task });
            }
        }
    }
}
