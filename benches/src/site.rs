//! Where a measure is made: a backend and a proxy in front of it, both new for every measure, so that no
//! measure meets ports, memory or descriptors that another left behind.

use std::{cell::Cell, fmt, path::Path, str::FromStr, time::Duration};

use rustix::process::Pid;

use crate::{
    backend::Mode,
    error::{Error, Result},
    load::Span,
    net::{Endpoint, Family},
    process::Role,
    subjects::{Place, Proxy, Setting, Subject},
};

const START: Duration = Duration::from_secs(10);

/// The families on the two sides of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    /// TCP on both sides.
    Tcp,
    /// UNIX sockets on both sides.
    Unix,
    /// TCP clients, a UNIX backend.
    Bridge,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Bridge];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Bridge => "bridge",
        }
    }

    pub(crate) fn client_side(self) -> Family {
        match self {
            Self::Tcp | Self::Bridge => Family::Tcp,
            Self::Unix => Family::Unix,
        }
    }

    pub(crate) fn server_side(self) -> Family {
        match self {
            Self::Tcp => Family::Tcp,
            Self::Unix | Self::Bridge => Family::Unix,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP → proxy → TCP",
            Self::Unix => "UNIX → proxy → UNIX",
            Self::Bridge => "TCP → proxy → UNIX",
        })
    }
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| Error::Usage(format!("no transport is called {text}")))
    }
}

/// A subject, a transport, and what every measure of them shares.
pub(crate) struct Site<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) transport: Transport,
    pub(crate) span: Span,
    pub(crate) scratch: &'a Path,
    /// Counts the stages up, over all sites.
    pub(crate) serials: &'a Cell<u64>,
}

/// A backend that listens and a proxy before it. Both end with this value.
pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) backend: Role,
}

impl Site<'_> {
    /// Starts a backend and the subject.
    pub(crate) fn stage(&self, mode: Mode) -> Result<Stage> {
        self.stage_with(mode, Setting::Usual)
    }

    /// The same, in a setting out of the ordinary.
    pub(crate) fn stage_with(&self, mode: Mode, setting: Setting) -> Result<Stage> {
        let serial = self.serial();
        // Without a proxy the client speaks to the backend in its own family.
        let family =
            if self.is_direct() { self.transport.client_side() } else { self.transport.server_side() };
        let at = Endpoint::unbound(family, self.scratch.join(format!("{serial}.back")));
        let words = ["backend".to_owned(), mode.to_string(), at.to_string()];
        let mut backend = Role::start(&words, self.log())?;
        let target: Endpoint = backend.line(START)?.parse()?;
        let proxy = self.subject.start(&self.place(serial, &target, setting))?;
        Ok(Stage { proxy, backend })
    }

    pub(crate) fn place<'p>(&'p self, serial: u64, target: &'p Endpoint, setting: Setting) -> Place<'p> {
        Place { scratch: self.scratch, serial, client_side: self.transport.client_side(), target, setting }
    }

    /// A new file for what a role says on stderr.
    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.scratch.join(format!("{}.log", self.serial()))
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serials.set(self.serials.get() + 1);
        self.serials.get()
    }

    fn is_direct(&self) -> bool {
        self.subject.kind == crate::subjects::Kind::Direct
    }
}

impl Stage {
    /// The proxy's process, if there is a proxy.
    pub(crate) fn pid(&self) -> Result<Option<Pid>> {
        self.proxy.running.as_ref().map(crate::process::Running::pid).transpose()
    }

    /// An error that shows the proxy's own words, if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.proxy.running.as_mut().map_or(Ok(()), crate::process::Running::check)
    }
}
