//! Starts a program under test.

use std::{
    os::fd::OwnedFd,
    process::{ChildStdout, Command},
};

use rustix::net::sockopt;

use super::{
    haproxy,
    listening::wait_until_listening,
    nginx,
    parameters::{MAX_CONNECTIONS, SMALL_BUFFER, StartParameters, Variant, write_file},
    subject::{Kind, Subject},
};
use crate::{
    error::{ErrorContext, Result},
    net::Endpoint,
    process::{Running, Start, start},
};

/// A started proxy; no process for [`Kind::Direct`].
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) front: Endpoint,
    pub(crate) running: Option<Running>,
    /// Contains the time just before the exec, if requested.
    pub(crate) stamps: Option<ChildStdout>,
}

impl Subject {
    /// Opens the listener and starts the program with it.
    pub(crate) fn start(&self, params: &StartParameters<'_>) -> Result<Proxy> {
        if self.kind == Kind::Direct {
            return Ok(Proxy { front: params.target.clone(), running: None, stamps: None });
        }
        let endpoint = Endpoint::unbound(params.client_side, params.file("front"));
        if self.accepts_listener() {
            let (listener, front) = endpoint.listen()?;
            if params.has_small_buffers() {
                sockopt::set_socket_send_buffer_size(&listener, SMALL_BUFFER)
                    .context(|| "set SO_SNDBUF".into())?;
            }
            return self.start_on(params, front, Some(listener), false);
        }
        let mut proxy = self.start_on(params, endpoint.reserve()?, None, false)?;
        wait_until_listening(&proxy.front, proxy.running.as_mut())?;
        Ok(proxy)
    }

    /// Starts the program on a listener that may already have clients.
    pub(crate) fn start_on(
        &self,
        params: &StartParameters<'_>,
        front: Endpoint,
        listener: Option<OwnedFd>,
        stamp: bool,
    ) -> Result<Proxy> {
        let command = self.command(params, &front)?;
        let log = if params.variant == Variant::DiscardLog { "/dev/null".into() } else { params.file("log") };
        let (running, stamps) = start(Start { name: &self.name, command, listener, log }, stamp)?;
        Ok(Proxy { front, running: Some(running), stamps })
    }

    fn command(&self, params: &StartParameters<'_>, front: &Endpoint) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let target = params.target.to_string();
        match self.kind {
            Kind::Direct | Kind::Podman => {}
            Kind::Floor => {
                command.args(["floor", &front.to_string(), &target]);
            }
            Kind::Dormouse => {
                command.args(["proxy", "-c", MAX_CONNECTIONS, &target]);
            }
            Kind::SocketProxyd => {
                command.args(["-c", MAX_CONNECTIONS, &target]);
            }
            Kind::HaProxy { threads } => {
                let file = params.file("cfg");
                write_file(&file, &haproxy::configuration(threads, params.target))?;
                command.arg("-db").arg("-f").arg(file);
            }
            Kind::Nginx => {
                let file = params.file("conf");
                write_file(&file, &nginx::configuration(params, front))?;
                command.arg("-p").arg(params.scratch).arg("-e").arg(params.file("log")).arg("-c").arg(file);
            }
            Kind::Socat => {
                let downstream = match front {
                    Endpoint::Tcp(at) => format!("TCP-LISTEN:{},bind={},reuseaddr", at.port(), at.ip()),
                    Endpoint::Unix(path) => format!("UNIX-LISTEN:{}", path.display()),
                };
                let upstream = match params.target {
                    Endpoint::Tcp(_) => format!("TCP:{target}"),
                    Endpoint::Unix(_) => format!("UNIX-CONNECT:{target}"),
                };
                command.args(["-b", "65536", &format!("{downstream},fork,backlog=4096"), &upstream]);
            }
            Kind::Rinetd => {
                let file = params.file("conf");
                let words = format!("{front} {target}\n").replace(':', " ");
                write_file(&file, &words)?;
                command.args(["-f", "-c"]).arg(file);
            }
        }
        Ok(command)
    }
}
