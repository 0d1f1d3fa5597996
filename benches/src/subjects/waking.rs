//! A server asleep behind a program: dormouse starts it by itself; the original needs a loop that waits for it.

use std::{
    ffi::OsString,
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{CONNECTIONS, Kind, Place, Subject, await_listening, podman::Container};
use crate::{
    error::{Doing, Error, Result},
    net::Endpoint,
    process::{Running, Start, own_path, start},
};

/// Unused for so long it is frozen.
const FREEZE: &str = "30ms";

/// The server, and how it is woken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Woken {
    /// How long it takes before it listens.
    pub(crate) delay: Duration,
    /// It says when it is ready, and is not taken for ready before.
    pub(crate) notify: bool,
    /// It is frozen, not stopped.
    pub(crate) freeze: bool,
}

/// A server that sleeps until a client comes. It ends with this value.
pub(crate) struct Asleep {
    /// Where clients connect.
    pub(crate) front: Endpoint,
    running: Option<Running>,
    /// What is started when the first client comes.
    waiting: Option<Waiting>,
    container: Option<Container>,
    log: PathBuf,
}

struct Waiting {
    name: String,
    command: Command,
    /// Where that client waits, if there is such a place: a service manager has it.
    listener: Option<OwnedFd>,
}

impl Subject {
    /// Has the program, or whoever starts it, wait for the first client of a server that does not run.
    pub(crate) fn put_to_sleep(&self, place: &Place<'_>, woken: Woken) -> Result<Asleep> {
        let endpoint = Endpoint::unbound(place.client_side, place.file("front"));
        let (name, log) = (self.name.clone(), place.file("log"));
        match self.kind {
            Kind::Original => {
                let (listener, front) = endpoint.listen()?;
                let command = self.as_units(place.target, woken)?;
                let waiting = Some(Waiting { name, command, listener: Some(listener) });
                Ok(Asleep { front, running: None, waiting, container: None, log })
            }
            Kind::Dormouse => {
                let mut front = endpoint.reserve()?;
                if front == *place.target {
                    // Both are only reserved, so the kernel may give the same port twice, but not thrice in a row.
                    front = endpoint.reserve()?;
                }
                let command = self.as_waker(&front, place.target, woken)?;
                let (mut running, _) =
                    start(Start { name: &name, command, listener: None, log: log.clone() }, false)?;
                await_listening(&front, Some(&mut running))?;
                Ok(Asleep { front, running: Some(running), waiting: None, container: None, log })
            }
            Kind::Podman => {
                let home = place.scratch.join("podman");
                let id = format!("bench-{}", place.serial);
                let container = Container::make(&self.program, home, id, &server(place.target, woken)?)?;
                let waiting = Some(Waiting { name, command: container.start(), listener: None });
                let front = place.target.clone();
                Ok(Asleep { front, running: None, waiting, container: Some(container), log })
            }
            _ => Err(Error::Protocol(format!("{name} wakes nothing"))),
        }
    }

    fn as_waker(&self, front: &Endpoint, target: &Endpoint, woken: Woken) -> Result<Command> {
        let words: Vec<String> = server(target, woken)?.iter().map(|word| quoted(word)).collect();
        let mut command = Command::new(&self.program);
        command.args(["run", "--log-level=info", "--idle=1h", "--minimum-uptime=0"]);
        command.arg(format!("--listen={front}")).arg(format!("--to={target}"));
        command.arg(format!("--exec={}", words.join(" ")));
        command.arg(if woken.notify { "--ready=notify" } else { "--ready=connect" });
        if woken.freeze {
            command.arg(format!("--freeze={FREEZE}"));
        }
        Ok(command)
    }

    /// What units do for the original: start the server, have an `ExecStartPost=` wait for it, start the proxy.
    fn as_units(&self, target: &Endpoint, woken: Woken) -> Result<Command> {
        const UNITS: &str = r#"
            proxy=$1 connections=$2 target=$3; shift 3
            env -u LISTEN_FDS -u LISTEN_PID "$@" 3<&- &
            case $target in
                /*) until [ -S "$target" ]; do sleep 0.1; done ;;
                *) until (: </dev/tcp/"${target%:*}"/"${target##*:}") 2>/dev/null; do sleep 0.1; done ;;
            esac
            exec "$proxy" -c "$connections" "$target""#;
        let mut command = Command::new("bash");
        command.args(["-c", UNITS, "units"]).arg(&self.program).arg(CONNECTIONS).arg(target.to_string());
        command.args(server(target, woken)?);
        Ok(command)
    }
}

impl Asleep {
    /// Whether a client may come before anything is started, and waits.
    pub(crate) fn holds(&self) -> bool {
        self.container.is_none()
    }

    /// Does what a service manager does at the first client. Nothing if the program does that itself.
    pub(crate) fn wake(&mut self) -> Result<()> {
        let Some(Waiting { name, command, listener }) = self.waiting.take() else { return Ok(()) };
        let log = self.log.clone();
        let (running, _) = start(Start { name: &name, command, listener, log }, false)?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits until the server was frozen so many times.
    pub(crate) fn await_frozen(&self, times: usize, at_most: Duration) -> Result<()> {
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            if self.words()?.matches(" → frozen").count() >= times {
                return Ok(());
            }
            sleep(Duration::from_millis(5));
        }
        Err(Error::Late { awaited: "word that the server is frozen".into(), after: at_most })
    }

    /// Adds to an error what the program said last.
    pub(crate) fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        // What starts a container ends by itself.
        if let (Err(_), None, Some(running)) = (&result, &self.container, &mut self.running) {
            running.check()?;
        }
        result.map_err(|error| {
            let words = self.words().unwrap_or_default();
            let mut last: Vec<&str> = words.lines().rev().take(3).collect();
            last.reverse();
            Error::Protocol(format!("{error}; it said last: {}", last.join(" / ")))
        })
    }

    fn words(&self) -> Result<String> {
        fs::read_to_string(&self.log).doing(|| format!("read {}", self.log.display()))
    }
}

/// The bench's own server as a command.
fn server(target: &Endpoint, woken: Woken) -> Result<Vec<String>> {
    let program: OsString = own_path()?.into();
    let program =
        program.into_string().map_err(|_| Error::Usage("the bench's own path is not UTF-8".into()))?;
    Ok(vec![program, "woken".into(), target.to_string(), woken.delay.as_micros().to_string()])
}

/// For a command line that is split as a shell would.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
