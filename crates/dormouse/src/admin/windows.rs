//! Where those who look are served, and how that becomes another place while they look.

use std::sync::Arc;

use dormouse_config::listen_options::{FileOptions, ListenOptions};
use dormouse_config::model::{Control, Listen, Oversight};
use dormouse_core::address::ListenAddress;
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::{Listener, OpenError};
use tokio::task::JoinHandle;

use super::{Running, http, socket, usual};

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
    at: At,
    listener: Arc<Listener>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of those who look.
#[derive(Debug, Clone)]
struct At {
    address: ListenAddress,
    options: ListenOptions,
    /// Somebody has named it. Where nobody has, that it is not to be had is only logged.
    told: bool,
}

impl At {
    fn listen(&self) -> Listen {
        Listen::Open { address: self.address.clone(), options: self.options.clone() }
    }
}

/// What is to become of the windows.
#[derive(Debug)]
pub struct Refit {
    control: Change,
    http: Change,
}

#[derive(Debug)]
enum Change {
    /// Nothing.
    Stay,
    /// The same address; its file is to be like that.
    Keep(FileOptions),
    Close,
    /// It is to be opened; late: when what is in its way has been closed.
    Wanted(At),
    Late(At),
    Open(At, Listener),
}

impl Windows {
    /// What becomes of them.
    pub fn refit(&self, oversight: &Oversight) -> Refit {
        let control = match &oversight.control {
            Control::Off => None,
            Control::At { address, options } => {
                let mut options = options.clone();
                options.file.mode.get_or_insert(MODE);
                Some(At { address: address.clone(), options, told: true })
            }
            Control::Usual => usual(|name| std::env::var_os(name)).map(|address| {
                let mut options = ListenOptions::default();
                options.file.mode = Some(MODE);
                At { address, options, told: false }
            }),
        };
        let http = oversight.http.map(|address| At {
            address: ListenAddress::Tcp(address),
            options: ListenOptions::default(),
            told: true,
        });
        Refit { control: change(self.control.as_ref(), control), http: change(self.http.as_ref(), http) }
    }

    /// Where nobody is served any more after this.
    pub fn closing(&self, refit: &Refit) -> Vec<Listen> {
        let both = [(&self.control, &refit.control), (&self.http, &refit.http)];
        let closing = both.into_iter().filter(|(_, change)| change.ends_the_old());
        closing.filter_map(|(open, _)| open.as_ref().map(|open| open.at.listen())).collect()
    }

    /// Closes those of them that are in the way of these. Gives what would undo it.
    pub fn close_in_the_way(&mut self, wanted: &[Listen], refit: &Refit) -> Refit {
        let close = |open: &mut Option<Open>, change: &Change| {
            let in_the_way = |open: &Open| {
                let listen = open.at.listen();
                wanted.iter().any(|wanted| wanted.is_in_the_way_of(&listen))
            };
            match open.take_if(|open| change.ends_the_old() && in_the_way(open)) {
                Some(open) => Change::Wanted(open.at.clone()),
                None => Change::Stay,
            }
        };
        Refit { control: close(&mut self.control, &refit.control), http: close(&mut self.http, &refit.http) }
    }

    /// Serves whoever comes there, and nobody any more elsewhere.
    pub fn put_in(&mut self, refit: Refit, running: &Arc<Running>) {
        let Refit { control, http } = refit;
        control.apply(&mut self.control, &running.log, |listener| {
            running.log.line(Level::Info, format_args!("Commands are taken at {listener}."));
            tokio::spawn(socket::serve(listener, Arc::clone(running)))
        });
        http.apply(&mut self.http, &running.log, |listener| {
            running
                .log
                .line(Level::Info, format_args!("The page and the metrics are at http://{listener}/."));
            tokio::spawn(http::serve(listener, Arc::clone(running)))
        });
        running.stats.track_sessions(self.control.is_some() || self.http.is_some());
    }

    /// How many descriptors those who look may need.
    pub fn descriptors(&self) -> usize {
        let control = if self.control.is_some() { socket::CLIENTS + 1 } else { 0 };
        let http = if self.http.is_some() { http::CLIENTS + 1 } else { 0 };
        control + http
    }
}

impl Refit {
    /// Does not open yet where something that will be closed is in the way.
    pub fn put_off(&mut self, closing: &[Listen]) {
        self.turn(|change| match change {
            Change::Wanted(at) if closing.iter().any(|closing| closing.is_in_the_way_of(&at.listen())) => {
                Change::Late(at)
            }
            change => change,
        });
    }

    /// What was put off.
    pub fn late(&self) -> impl Iterator<Item = Listen> {
        let late = |change: &Change| if let Change::Late(at) = change { Some(at.listen()) } else { None };
        [late(&self.control), late(&self.http)].into_iter().flatten()
    }

    /// Nothing is in the way of that any more.
    pub fn make_up(&mut self) {
        self.turn(|change| if let Change::Late(at) = change { Change::Wanted(at) } else { change });
    }

    fn turn(&mut self, to: impl Fn(Change) -> Change) {
        for change in [&mut self.control, &mut self.http] {
            *change = to(std::mem::replace(change, Change::Close));
        }
    }

    /// What is to be opened next.
    pub fn next_wanted(&mut self) -> Option<(ListenAddress, ListenOptions)> {
        match self.first_wanted()? {
            Change::Wanted(at) => Some((at.address.clone(), at.options.clone())),
            _ => None,
        }
    }

    /// What came of opening it.
    ///
    /// # Errors
    /// When we cannot listen where we are told to. Where nobody told us to, that is only logged.
    pub fn opened(&mut self, opened: Result<Listener, OpenError>, log: &Log) -> Result<(), OpenError> {
        self.first_wanted().map_or(Ok(()), |change| change.opened(opened, log))
    }

    fn first_wanted(&mut self) -> Option<&mut Change> {
        [&mut self.control, &mut self.http].into_iter().find(|change| matches!(change, Change::Wanted(_)))
    }

    /// Closes what was opened.
    pub fn give_up(&mut self) {
        *self = Self { control: Change::Close, http: Change::Close };
    }
}

fn change(open: Option<&Open>, wanted: Option<At>) -> Change {
    match (open, wanted) {
        (_, None) => Change::Close,
        (Some(open), Some(at)) if open.at.address == at.address && !open.task.is_finished() => {
            Change::Keep(at.options.file)
        }
        (_, Some(at)) => Change::Wanted(at),
    }
}

impl Change {
    /// Nobody is served any more where it is open now.
    fn ends_the_old(&self) -> bool {
        !matches!(self, Self::Stay | Self::Keep(_))
    }

    fn opened(&mut self, opened: Result<Listener, OpenError>, log: &Log) -> Result<(), OpenError> {
        let Self::Wanted(at) = std::mem::replace(self, Self::Close) else { return Ok(()) };
        match opened {
            Ok(listener) => *self = Self::Open(at, listener),
            Err(error) if at.told => return Err(error),
            Err(error) => log.line(Level::Notice, format_args!("No control socket: {error}")),
        }
        Ok(())
    }

    fn apply(self, open: &mut Option<Open>, log: &Log, serve: impl FnOnce(Arc<Listener>) -> JoinHandle<()>) {
        match self {
            Self::Keep(file) => {
                let set = open.as_ref().map(|open| open.listener.set_file_permissions(&file));
                if let Some(Err(error)) = set {
                    log.line(Level::Warning, format_args!("{error}."));
                }
            }
            Self::Open(at, listener) => {
                let listener = Arc::new(listener);
                let task = serve(Arc::clone(&listener));
                *open = Some(Open { at, listener, task });
            }
            Self::Stay => {}
            // What is wanted was opened before, or is not to be had.
            Self::Close | Self::Wanted(_) | Self::Late(_) => *open = None,
        }
    }
}
