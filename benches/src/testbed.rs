//! The setup of a measurement: a backend and a proxy in front of it. Every measurement starts new ones, so that no ports,
//! memory or descriptors of another measurement influence it.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Pid;

use crate::{
    backend::Mode,
    error::Result,
    net::Endpoint,
    process::{Helper, Running},
    spec::Timing,
    subjects::{Kind, Proxy, StartParameters, Subject, Variant},
    transport::Transport,
};

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A subject, a transport, and what all measurements of them share.
pub(crate) struct Setup<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) transport: Transport,
    pub(crate) timing: Timing,
    pub(crate) scratch: &'a Path,
    /// The last serial number, shared by all setups.
    pub(crate) serials: &'a Cell<u64>,
}

/// A listening backend and a proxy in front of it. Dropping the value ends both.
pub(crate) struct Testbed {
    pub(crate) proxy: Proxy,
    pub(crate) backend: Helper,
}

impl Setup<'_> {
    /// Starts a backend and the subject.
    pub(crate) fn testbed(&self, mode: Mode) -> Result<Testbed> {
        self.testbed_with(mode, Variant::Default)
    }

    /// Starts a backend, and the subject in a variant of its configuration.
    pub(crate) fn testbed_with(&self, mode: Mode, variant: Variant) -> Result<Testbed> {
        let serial = self.serial();
        // Without a proxy the client connects to the backend, so the backend uses the family of the client.
        let family = if self.subject.kind == Kind::Direct {
            self.transport.client_side()
        } else {
            self.transport.server_side()
        };
        let endpoint = Endpoint::unbound(family, self.scratch.join(format!("{serial}.back")));
        let words = ["backend".to_owned(), mode.to_string(), endpoint.to_string()];
        let mut backend = Helper::start(&words, self.log())?;
        let target: Endpoint = backend.line(START_TIMEOUT)?.parse()?;
        let proxy = self.subject.start(&self.start_parameters(serial, &target, variant))?;
        Ok(Testbed { proxy, backend })
    }

    pub(crate) fn start_parameters<'p>(
        &'p self,
        serial: u64,
        target: &'p Endpoint,
        variant: Variant,
    ) -> StartParameters<'p> {
        StartParameters {
            scratch: self.scratch,
            serial,
            client_side: self.transport.client_side(),
            target,
            variant,
        }
    }

    /// Returns the path of a new log file for a helper process.
    pub(crate) fn log(&self) -> PathBuf {
        self.scratch.join(format!("{}.log", self.serial()))
    }

    /// Returns a new serial number, which makes file names unique.
    pub(crate) fn serial(&self) -> u64 {
        self.serials.set(self.serials.get() + 1);
        self.serials.get()
    }
}

impl Testbed {
    /// Returns the process of the proxy, if there is a proxy.
    pub(crate) fn pid(&self) -> Result<Option<Pid>> {
        self.proxy.running.as_ref().map(Running::pid).transpose()
    }

    /// Returns an error with the end of the proxy's log if the proxy has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.proxy.running.as_mut().map_or(Ok(()), Running::check)
    }
}
