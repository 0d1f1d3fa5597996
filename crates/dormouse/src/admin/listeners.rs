//! The listeners of the control socket and the web address, and how a reload changes them.

use std::sync::Arc;

use dormouse_config::listen_options::{FileOptions, ListenOptions};
use dormouse_config::model::{AdminConfig, Control, Listen};
use dormouse_core::address::{Host, ListenAddress};
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::{Listener, OpenError};
use tokio::task::JoinHandle;

use super::acceptor::BATCH;
use dormouse_config::model::CONTROL_MODE;

use super::{Running, http, socket, usual_address};

/// The listeners for admin clients and the tasks that serve them.
#[derive(Debug, Default)]
pub struct AdminListeners {
    control: Option<Open>,
    http: Option<Open>,
}

/// An open listener. Dropping it stops the task that serves its clients.
#[derive(Debug)]
struct Open {
    /// The configured address.
    endpoint: Endpoint,
    listener: Arc<Listener>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The configured address of an admin listener.
#[derive(Debug, Clone)]
struct Endpoint {
    address: ListenAddress,
    options: ListenOptions,
    /// The configuration names the address. A failure to open the default address is only logged.
    configured: bool,
}

impl Endpoint {
    fn listen(&self) -> Listen {
        Listen::Open { address: self.address.clone(), options: self.options.clone() }
    }
}

/// The changes to the admin listeners in a reload.
#[derive(Debug)]
pub struct Reconfigure {
    control: Change,
    http: Change,
    /// The hosts that requests to the web address may name; `None`: no change.
    http_hosts: Option<Vec<Host>>,
}

#[derive(Debug)]
enum Change {
    /// No change.
    Unchanged,
    /// The same address; the mode and owner of its file may change.
    Keep(FileOptions),
    Close,
    /// To be opened; `Deferred`: after a conflicting listener is closed.
    ToOpen(Endpoint),
    Deferred(Endpoint),
    Open(Endpoint, Listener),
}

impl AdminListeners {
    /// Returns the changes that lead to this configuration.
    pub fn reconfigure(&self, admin: &AdminConfig) -> Reconfigure {
        let control = match &admin.control {
            Control::Off => None,
            Control::At { address, options } => {
                let mut options = options.clone();
                options.file.mode.get_or_insert(CONTROL_MODE);
                Some(Endpoint { address: address.clone(), options, configured: true })
            }
            Control::Usual => usual_address().map(|address| {
                let mut options = ListenOptions::default();
                options.file.mode = Some(CONTROL_MODE);
                Endpoint { address, options, configured: false }
            }),
        };
        let http = admin.http.map(|address| Endpoint {
            address: ListenAddress::Tcp(address),
            options: ListenOptions::default(),
            configured: true,
        });
        Reconfigure {
            control: change(self.control.as_ref(), control),
            http: change(self.http.as_ref(), http),
            http_hosts: Some(admin.http_hosts.clone()),
        }
    }

    /// Returns the listeners that the changes close.
    pub fn closing(&self, reconfigure: &Reconfigure) -> Vec<Listen> {
        let pairs = [(&self.control, &reconfigure.control), (&self.http, &reconfigure.http)];
        let closing = pairs.into_iter().filter(|(_, change)| change.closes_present());
        closing.filter_map(|(open, _)| open.as_ref().map(|open| open.endpoint.listen())).collect()
    }

    /// Closes the listeners that conflict with these. Returns the changes that open them again.
    pub fn close_conflicting(&mut self, wanted: &[Listen], reconfigure: &Reconfigure) -> Reconfigure {
        let close = |open: &mut Option<Open>, change: &Change| {
            let conflicts = |open: &Open| {
                let listen = open.endpoint.listen();
                wanted.iter().any(|wanted| wanted.conflicts_with(&listen))
            };
            match open.take_if(|open| change.closes_present() && conflicts(open)) {
                Some(open) => Change::ToOpen(open.endpoint.clone()),
                None => Change::Unchanged,
            }
        };
        Reconfigure {
            control: close(&mut self.control, &reconfigure.control),
            http: close(&mut self.http, &reconfigure.http),
            http_hosts: None,
        }
    }

    /// Applies the changes and serves clients on the new listeners.
    pub fn apply(&mut self, reconfigure: Reconfigure, running: &Arc<Running>) {
        let Reconfigure { control, http, http_hosts } = reconfigure;
        if let Some(hosts) = http_hosts {
            running.set_http_hosts(hosts);
        }
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

    /// Returns the number of descriptors that admin clients and their listeners may need.
    pub fn descriptors(&self) -> usize {
        // The listener, and clients for which others give way.
        let control = if self.control.is_some() { socket::CLIENTS + BATCH + 1 } else { 0 };
        let http = if self.http.is_some() { http::CLIENTS + BATCH + 1 } else { 0 };
        control + http
    }
}

impl Reconfigure {
    /// Defers the opening of listeners that conflict with one that is going to be closed.
    pub fn defer(&mut self, closing: &[Listen]) {
        self.replace_each(|change| match change {
            Change::ToOpen(endpoint)
                if closing.iter().any(|closing| closing.conflicts_with(&endpoint.listen())) =>
            {
                Change::Deferred(endpoint)
            }
            change => change,
        });
    }

    /// Returns the deferred listeners.
    pub fn late(&self) -> impl Iterator<Item = Listen> {
        let late = |change: &Change| {
            if let Change::Deferred(endpoint) = change { Some(endpoint.listen()) } else { None }
        };
        [late(&self.control), late(&self.http)].into_iter().flatten()
    }

    /// Makes deferred listeners ready to be opened.
    pub fn undefer(&mut self) {
        self.replace_each(|change| {
            if let Change::Deferred(endpoint) = change { Change::ToOpen(endpoint) } else { change }
        });
    }

    fn replace_each(&mut self, to: impl Fn(Change) -> Change) {
        for change in [&mut self.control, &mut self.http] {
            *change = to(std::mem::replace(change, Change::Close));
        }
    }

    /// Returns the next listener to open.
    pub fn next_to_open(&mut self) -> Option<(ListenAddress, ListenOptions)> {
        match self.first_to_open()? {
            Change::ToOpen(endpoint) => Some((endpoint.address.clone(), endpoint.options.clone())),
            _ => None,
        }
    }

    /// Stores the result of opening it.
    ///
    /// # Errors
    /// The listener of a configured address cannot be opened. For the default address this is only logged.
    pub fn opened(&mut self, opened: Result<Listener, OpenError>, log: &Log) -> Result<(), OpenError> {
        self.first_to_open().map_or(Ok(()), |change| change.opened(opened, log))
    }

    fn first_to_open(&mut self) -> Option<&mut Change> {
        [&mut self.control, &mut self.http].into_iter().find(|change| matches!(change, Change::ToOpen(_)))
    }

    /// Closes what was opened and abandons the changes.
    pub fn abandon(&mut self) {
        *self = Self { control: Change::Close, http: Change::Close, http_hosts: None };
    }
}

fn change(open: Option<&Open>, wanted: Option<Endpoint>) -> Change {
    match (open, wanted) {
        (_, None) => Change::Close,
        (Some(open), Some(endpoint))
            if open.endpoint.address == endpoint.address && !open.task.is_finished() =>
        {
            Change::Keep(endpoint.options.file)
        }
        (_, Some(endpoint)) => Change::ToOpen(endpoint),
    }
}

impl Change {
    /// Returns whether the change closes the present listener.
    fn closes_present(&self) -> bool {
        !matches!(self, Self::Unchanged | Self::Keep(_))
    }

    fn opened(&mut self, opened: Result<Listener, OpenError>, log: &Log) -> Result<(), OpenError> {
        let Self::ToOpen(endpoint) = std::mem::replace(self, Self::Close) else { return Ok(()) };
        match opened {
            Ok(listener) => *self = Self::Open(endpoint, listener),
            Err(error) if endpoint.configured => return Err(error),
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
            Self::Open(endpoint, listener) => {
                let listener = Arc::new(listener);
                let task = serve(Arc::clone(&listener));
                *open = Some(Open { endpoint, listener, task });
            }
            Self::Unchanged => {}
            // A wanted listener has been opened before, or has failed.
            Self::Close | Self::ToOpen(_) | Self::Deferred(_) => *open = None,
        }
    }
}
