//! `dormouse run` as a unit, with nginx as another one behind it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, ensure, write};
use dormouse_tests::{Address, Ending, Failure, Result, Stream, wait};

use dormouse_tests::nginx::{self, Start};

/// How long a request may take, waking included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is behind.
pub(crate) const WEB: &str = "web.service";

/// nginx, so that it is "started" before it listens, and can be started as often as somebody likes.
pub(crate) const NGINX: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
RuntimeDirectory=web
ExecStart=/usr/sbin/nginx -e stderr -c %t/nginx.conf
";

const BEHIND: &str = "127.0.0.1:8081";

pub(crate) struct Stage<'a> {
    pub(crate) machine: &'a Machine,
}

impl<'a> Stage<'a> {
    /// A machine with `web` as web.service; nginx is configured. No dormouse runs yet.
    pub(crate) fn new(machine: &'a Machine, web: &str, start: Start) -> Result<Self> {
        let runtime = machine.runtime();
        write(&runtime.join("nginx.conf"), &nginx::configuration(&runtime.join("web"), BEHIND, start))?;
        machine.install(&[(WEB, web)])?;
        Ok(Self { machine })
    }

    /// Starts `dormouse run` with these flags.
    pub(crate) fn dormouse(&self, flags: &str) -> Result<()> {
        self.dormouse_as(&format!("--unit={WEB} {flags}"), "")
    }

    /// Starts `dormouse run` with these flags alone, in a service with these lines.
    pub(crate) fn dormouse_as(&self, flags: &str, lines: &str) -> Result<()> {
        let unit = format!(
            "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} run --listen=127.0.0.1:8080 --to={BEHIND} --minimum-uptime=0 --log-level=debug {flags}
StandardError=append:{}
{lines}
",
            self.log_path().display()
        );
        self.machine.install(&[("front.service", &unit)])?;
        let started = self.machine.systemctl(&["start", "front.service"]);
        started.map(drop).map_err(|failure| self.with_log(&failure))
    }

    fn log_path(&self) -> PathBuf {
        self.machine.runtime().join("front.log")
    }

    /// What dormouse logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits for this in the log.
    pub(crate) fn wait_for_log(&self, part: &str) -> Result<()> {
        self.wait_for_log_times(part, 1)
    }

    /// Waits until this is in the log so many times.
    pub(crate) fn wait_for_log_times(&self, part: &str, times: u64) -> Result<()> {
        let found = || self.log().matches(part).take(usize::try_from(times).unwrap_or(usize::MAX)).count();
        let what = format!("{part:?} ({times} times) in the log");
        wait::until(&what, SETTLE, || Ok((u64::try_from(found()) == Ok(times)).then_some(())))
            .map_err(|failure| self.with_log(&failure))
    }

    /// Waits until web.service's property has this value.
    pub(crate) fn wait(&self, property: &str, value: &str) -> Result<()> {
        self.machine.wait(WEB, property, value, SETTLE).map_err(|failure| self.with_log(&failure))
    }

    /// The failure, and what dormouse logged.
    pub(crate) fn with_log(&self, failure: &Failure) -> Failure {
        Failure::Unexpected(format!("{failure}\ndormouse logged:\n{}", self.log()))
    }

    /// Asks nginx through dormouse, and fails with the log unless the answer is whole, the right one, and ends in good
    /// order.
    pub(crate) fn ask(&self, number: u64) -> Result<()> {
        ask(number).map_err(|failure| self.with_log(&failure))
    }

    /// Asks, and fails unless that ends without an answer.
    pub(crate) fn ask_in_vain(&self) -> Result<()> {
        match ask(0) {
            Err(failure) if failure.is_timeout() => Err(self.with_log(&failure)),
            Err(_) => Ok(()),
            Ok(()) => Err(self.with_log(&Failure::Unexpected("there was an answer".to_owned()))),
        }
    }

    /// Asks until there is an answer: after a failure clients are turned away for a second.
    pub(crate) fn ask_until_answered(&self) -> Result<()> {
        wait::until("answer", SETTLE, || Ok(ask(1).is_ok().then_some(())))
            .map_err(|failure| self.with_log(&failure))
    }

    /// Does something with web.service behind dormouse's back.
    pub(crate) fn systemctl(&self, args: &[&str]) -> Result<()> {
        self.machine.systemctl(args).map(drop).map_err(|failure| self.with_log(&failure))
    }

    /// A client that has an answer and stays.
    pub(crate) fn visitor(&self) -> Result<Stream> {
        let stream = Stream::connect(&front(), PATIENCE)?;
        stream.send(b"GET /?n=7 HTTP/1.1\r\nHost: web\r\n\r\n", PATIENCE)?;
        stream.receive(12, PATIENCE).map_err(|failure| self.with_log(&failure))?;
        Ok(stream)
    }
}

/// Asks for a number, and fails unless the answer is just that.
pub(crate) fn ask(number: u64) -> Result<()> {
    answered(&asked(number)?, number)
}

/// The same, by somebody who came with another client that stays: the server goes on for so long.
pub(crate) fn ask_and_stay(number: u64) -> Result<Stream> {
    let stream = asked(number)?;
    let stays = Stream::connect(&front(), PATIENCE)?;
    answered(&stream, number)?;
    Ok(stays)
}

fn asked(number: u64) -> Result<Stream> {
    let stream = Stream::connect(&front(), PATIENCE)?;
    stream.send(format!("GET /?n={number} HTTP/1.0\r\n\r\n").as_bytes(), PATIENCE)?;
    Ok(stream)
}

fn answered(stream: &Stream, number: u64) -> Result<()> {
    let received = stream.receive_to_end(PATIENCE)?;
    let text = String::from_utf8_lossy(&received.bytes);
    let right = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{number}\n"));
    ensure(right && received.ending == Ending::Fin, || {
        format!("the answer to request {number} is {text:?}, ended by {:?}", received.ending)
    })
}

fn front() -> Address {
    Address::Tcp(([127, 0, 0, 1], 8080).into())
}
