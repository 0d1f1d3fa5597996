//! `dormouse run` as a unit, and nginx as the unit that it wakes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, ensure, write};
use dormouse_tests::{Address, Ending, Failure, Result, Stream, wait};

use dormouse_tests::nginx::{self, Start};

/// The time limit of a request, including the wake.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The unit that dormouse wakes.
pub(crate) const WEB: &str = "web.service";

/// nginx in a unit without readiness notification and without a start limit.
pub(crate) const NGINX: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
RuntimeDirectory=web
ExecStart=/usr/sbin/nginx -e stderr -c %t/nginx.conf
";

const SERVER: &str = "127.0.0.1:8081";

pub(crate) struct Stage<'a> {
    pub(crate) machine: &'a Machine,
}

impl<'a> Stage<'a> {
    /// Installs `web` as web.service and configures nginx, without starting dormouse.
    pub(crate) fn new(machine: &'a Machine, web: &str, start: Start) -> Result<Self> {
        let runtime = machine.runtime();
        write(&runtime.join("nginx.conf"), &nginx::configuration(&runtime.join("web"), SERVER, start))?;
        machine.install(&[(WEB, web)])?;
        Ok(Self { machine })
    }

    /// Starts `dormouse run` with these flags.
    pub(crate) fn dormouse(&self, flags: &str) -> Result<()> {
        self.dormouse_as(&format!("--unit={WEB} {flags}"), "")
    }

    /// Starts `dormouse run` with only these flags, in a unit with these additional lines.
    pub(crate) fn dormouse_as(&self, flags: &str, lines: &str) -> Result<()> {
        let unit = format!(
            "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} run --listen=127.0.0.1:8080 --to={SERVER} --minimum-uptime=0 --log-level=debug {flags}
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

    /// The log of dormouse.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log contains `part`.
    pub(crate) fn wait_for_log(&self, part: &str) -> Result<()> {
        self.wait_for_log_times(part, 1)
    }

    /// Waits until the log contains `part` this many times.
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

    /// Adds the log of dormouse to a failure.
    pub(crate) fn with_log(&self, failure: &Failure) -> Failure {
        Failure::Unexpected(format!("{failure}\ndormouse logged:\n{}", self.log()))
    }

    /// Like [`ask`], with the log in the failure.
    pub(crate) fn ask(&self, number: u64) -> Result<()> {
        ask(number).map_err(|failure| self.with_log(&failure))
    }

    /// Sends a request and fails unless it ends without an answer.
    pub(crate) fn ask_without_answer(&self) -> Result<()> {
        match ask(0) {
            Err(failure) if failure.is_timeout() => Err(self.with_log(&failure)),
            Err(_) => Ok(()),
            Ok(()) => Err(self.with_log(&Failure::Unexpected("the request was answered".to_owned()))),
        }
    }

    /// Sends requests until one is answered: after a failure dormouse refuses clients for a second.
    pub(crate) fn ask_until_answered(&self) -> Result<()> {
        wait::until("answer", SETTLE, || Ok(ask(1).is_ok().then_some(())))
            .map_err(|failure| self.with_log(&failure))
    }

    /// Runs systemctl independently of dormouse.
    pub(crate) fn systemctl(&self, args: &[&str]) -> Result<()> {
        self.machine.systemctl(args).map(drop).map_err(|failure| self.with_log(&failure))
    }

    /// Connects a client, waits for an answer and keeps the connection open.
    pub(crate) fn client(&self) -> Result<Stream> {
        let stream = Stream::connect(&front(), REQUEST_LIMIT)?;
        stream.send(b"GET /?n=7 HTTP/1.1\r\nHost: web\r\n\r\n", REQUEST_LIMIT)?;
        stream.receive(12, REQUEST_LIMIT).map_err(|failure| self.with_log(&failure))?;
        Ok(stream)
    }
}

/// Requests `number` through dormouse and fails unless the answer is complete and correct and ends with an orderly
/// close.
pub(crate) fn ask(number: u64) -> Result<()> {
    receive_answer(&send_request(number)?, number)
}

/// Like [`ask`], and returns a second connection from before the answer that keeps the server running.
pub(crate) fn ask_and_stay(number: u64) -> Result<Stream> {
    let stream = send_request(number)?;
    let stays = Stream::connect(&front(), REQUEST_LIMIT)?;
    receive_answer(&stream, number)?;
    Ok(stays)
}

fn send_request(number: u64) -> Result<Stream> {
    let stream = Stream::connect(&front(), REQUEST_LIMIT)?;
    stream.send(format!("GET /?n={number} HTTP/1.0\r\n\r\n").as_bytes(), REQUEST_LIMIT)?;
    Ok(stream)
}

fn receive_answer(stream: &Stream, number: u64) -> Result<()> {
    let received = stream.receive_to_end(REQUEST_LIMIT)?;
    let text = String::from_utf8_lossy(&received.bytes);
    let right = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{number}\n"));
    ensure(right && received.ending == Ending::Fin, || {
        format!("the answer to request {number} is {text:?}, ended by {:?}", received.ending)
    })
}

fn front() -> Address {
    Address::Tcp(([127, 0, 0, 1], 8080).into())
}
