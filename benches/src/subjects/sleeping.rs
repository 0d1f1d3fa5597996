//! A sleeping server behind a program. dormouse starts the server itself; systemd-socket-proxyd needs a script that waits
//! for it.

use std::{
    ffi::OsString,
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    listening::wait_until_listening,
    parameters::{MAX_CONNECTIONS, StartParameters},
    podman::Container,
    subject::{Kind, Subject},
};
use crate::{
    error::{Error, ErrorContext, Result},
    net::Endpoint,
    process::{Running, Start, own_executable, start},
};

/// The idle time after which dormouse freezes the server.
const FREEZE_AFTER: &str = "30ms";

/// How the server starts and sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeParameters {
    /// The time before the server listens.
    pub(crate) delay: Duration,
    /// The server is ready when it sends READY=1.
    pub(crate) notify: bool,
    /// The server is frozen instead of stopped.
    pub(crate) freeze: bool,
}

/// A server that sleeps until the first client connects. Dropping the value ends it.
pub(crate) struct SleepingServer {
    /// Where clients connect.
    pub(crate) front: Endpoint,
    running: Option<Running>,
    /// The program to start for the first client.
    pending: Option<PendingStart>,
    container: Option<Container>,
    log: PathBuf,
}

/// A program that the benchmark starts for the first client, in the role of the service manager.
struct PendingStart {
    name: String,
    command: Command,
    /// The listener of the service manager, where the client waits.
    listener: Option<OwnedFd>,
}

impl Subject {
    /// Prepares a server that does not run, and the program that starts it for the first client.
    pub(crate) fn start_asleep(
        &self,
        params: &StartParameters<'_>,
        wake: WakeParameters,
    ) -> Result<SleepingServer> {
        let endpoint = Endpoint::unbound(params.client_side, params.file("front"));
        let (name, log) = (self.name.clone(), params.file("log"));
        match self.kind {
            Kind::SocketProxyd => {
                let (listener, front) = endpoint.listen()?;
                let command = self.units_command(params.target, wake)?;
                let pending = Some(PendingStart { name, command, listener: Some(listener) });
                Ok(SleepingServer { front, running: None, pending, container: None, log })
            }
            Kind::Dormouse => {
                let mut front = endpoint.reserve()?;
                if front == *params.target {
                    // The ports are only reserved, so the kernel may return the same port again, but not three times in a row.
                    front = endpoint.reserve()?;
                }
                let command = self.dormouse_command(&front, params.target, wake)?;
                let (mut running, _) =
                    start(Start { name: &name, command, listener: None, log: log.clone() }, false)?;
                wait_until_listening(&front, Some(&mut running))?;
                Ok(SleepingServer { front, running: Some(running), pending: None, container: None, log })
            }
            Kind::Podman => {
                let home = params.scratch.join("podman");
                let id = format!("bench-{}", params.serial);
                let container =
                    Container::create(&self.program, home, id, &server_command(params.target, wake)?)?;
                let pending = Some(PendingStart { name, command: container.start(), listener: None });
                let front = params.target.clone();
                Ok(SleepingServer { front, running: None, pending, container: Some(container), log })
            }
            _ => Err(Error::Protocol(format!("{name} cannot wake a server"))),
        }
    }

    /// Returns the command line of `dormouse run`.
    fn dormouse_command(&self, front: &Endpoint, target: &Endpoint, wake: WakeParameters) -> Result<Command> {
        let words: Vec<String> = server_command(target, wake)?.iter().map(|word| quoted(word)).collect();
        let mut command = Command::new(&self.program);
        command.args(["run", "--log-level=info", "--idle=1h", "--minimum-uptime=0"]);
        command.arg(format!("--listen={front}")).arg(format!("--to={target}"));
        command.arg(format!("--exec={}", words.join(" ")));
        command.arg(if wake.notify { "--ready=notify" } else { "--ready=connect" });
        if wake.freeze {
            command.arg(format!("--freeze={FREEZE_AFTER}"));
        }
        Ok(command)
    }

    /// Returns a script that does what units do for systemd-socket-proxyd: start the server, wait for it like an
    /// `ExecStartPost=`, start the proxy.
    fn units_command(&self, target: &Endpoint, wake: WakeParameters) -> Result<Command> {
        const SCRIPT: &str = r#"
            proxy=$1 connections=$2 target=$3; shift 3
            env -u LISTEN_FDS -u LISTEN_PID "$@" 3<&- &
            case $target in
                /*) until [ -S "$target" ]; do sleep 0.1; done ;;
                *) until (: </dev/tcp/"${target%:*}"/"${target##*:}") 2>/dev/null; do sleep 0.1; done ;;
            esac
            exec "$proxy" -c "$connections" "$target""#;
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT, "units"]).arg(&self.program).arg(MAX_CONNECTIONS).arg(target.to_string());
        command.args(server_command(target, wake)?);
        Ok(command)
    }
}

impl SleepingServer {
    /// Returns whether a client can connect before anything is started.
    pub(crate) fn accepts_before_start(&self) -> bool {
        self.container.is_none()
    }

    /// Starts the program for the first client, like a service manager. Does nothing if the program wakes the server itself.
    pub(crate) fn wake(&mut self) -> Result<()> {
        let Some(PendingStart { name, command, listener }) = self.pending.take() else { return Ok(()) };
        let log = self.log.clone();
        let (running, _) = start(Start { name: &name, command, listener, log }, false)?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits until the server was frozen this many times, according to the log.
    pub(crate) fn wait_until_frozen(&self, times: usize, timeout: Duration) -> Result<()> {
        let until = Instant::now() + timeout;
        while Instant::now() < until {
            if self.log_text()?.matches(" → frozen").count() >= times {
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
        Err(Error::Timeout { awaited: "the server to freeze".into(), after: timeout })
    }

    /// Adds the end of the program's log to an error.
    pub(crate) fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        // `podman start` ends by itself.
        if let (Err(_), None, Some(running)) = (&result, &self.container, &mut self.running) {
            running.check()?;
        }
        result.map_err(|error| {
            let text = self.log_text().unwrap_or_default();
            let mut last: Vec<&str> = text.lines().rev().take(3).collect();
            last.reverse();
            Error::Protocol(format!("{error}; end of its log: {}", last.join(" / ")))
        })
    }

    fn log_text(&self) -> Result<String> {
        fs::read_to_string(&self.log).context(|| format!("read {}", self.log.display()))
    }
}

/// Returns the command line of the wake server.
fn server_command(target: &Endpoint, wake: WakeParameters) -> Result<Vec<String>> {
    let program: OsString = own_executable()?.into();
    let program =
        program.into_string().map_err(|_| Error::Usage("the path of this program is not UTF-8".into()))?;
    Ok(vec![program, "wake-server".into(), target.to_string(), wake.delay.as_micros().to_string()])
}

/// Quotes a word for a command line that is split like in a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
