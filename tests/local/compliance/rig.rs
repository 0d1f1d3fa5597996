//! The program under test between clients and a backend.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use dormouse_tests::wait::{LIMIT, SOON};
use dormouse_tests::{Ending, Failure, Family, Launch, Listener, Result, Running, Stream, Subject, wait};

/// The time for which a case waits to see that nothing happens.
pub(crate) const A_WHILE: Duration = Duration::from_millis(400);

/// The settings for starting the program between a listener and a backend.
pub(crate) struct Plan {
    subject: Subject,
    front: Family,
    back: Family,
    target: Option<String>,
    launch: Launch,
}

impl Plan {
    /// Starts from TCP over IPv4 on both sides.
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, front: Family::Tcp4, back: Family::Tcp4, target: None, launch: Launch::new(subject) }
    }

    /// Sets the families of the two sides.
    pub(crate) fn between(self, front: Family, back: Family) -> Self {
        Self { front, back, ..self }
    }

    /// Adds arguments for both programs.
    pub(crate) fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { launch: self.launch.args(args), ..self }
    }

    /// Adds arguments for dormouse only.
    pub(crate) fn dormouse_args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        if self.subject == Subject::Dormouse { self.args(args) } else { self }
    }

    /// Sets another target than the backend's address; `{port}` in it becomes the backend's port.
    pub(crate) fn target(self, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..self }
    }

    /// Changes other launch settings.
    pub(crate) fn launch(self, change: impl FnOnce(Launch) -> Launch) -> Self {
        Self { launch: change(self.launch), ..self }
    }

    /// Starts the program between two new listeners.
    pub(crate) fn start(self) -> Result<Rig> {
        let back = Listener::bind(self.back)?;
        self.start_before(back)
    }

    /// Starts the program with a client in the queue and returns that client's session, so that a short idle time
    /// cannot end the program before the session on a slow machine.
    pub(crate) fn start_with_session(self) -> Result<(Rig, Stream, Stream)> {
        let front = Listener::bind(self.front)?;
        let back = Listener::bind(self.back)?;
        self.start_between_with_session(front, back)
    }

    /// Like [`start_with_session`](Self::start_with_session), between these two listeners.
    pub(crate) fn start_between_with_session(
        self,
        front: Listener,
        back: Listener,
    ) -> Result<(Rig, Stream, Stream)> {
        let client = Stream::connect(front.address(), SOON)?;
        let rig = self.start_between(front, back)?;
        let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
        exchange(&client, &server)?;
        Ok((rig, client, server))
    }

    /// Starts the program in front of this backend.
    pub(crate) fn start_before(self, back: Listener) -> Result<Rig> {
        let front = Listener::bind(self.front)?;
        self.start_between(front, back)
    }

    /// Starts the program between these two listeners.
    pub(crate) fn start_between(self, front: Listener, back: Listener) -> Result<Rig> {
        let target = match self.target {
            Some(target) => target.replace("{port}", &back.address().port().to_string()),
            None => back.address().to_string(),
        };
        let subject = self.launch.arg(target).pass(&front).start()?;
        Ok(Rig { subject, front, back })
    }
}

/// A running program, the listener that it got, and its backend.
pub(crate) struct Rig {
    pub(crate) subject: Running,
    pub(crate) front: Listener,
    pub(crate) back: Listener,
}

/// The result of a client.
pub(crate) enum Fate {
    /// The client is connected to the backend; this is the backend's connection.
    Served(Stream),
    /// The connection ended before the backend received it.
    Dropped(Ending),
    /// Neither happened within the limit.
    Waiting,
}

impl Rig {
    /// Connects a client to the program.
    pub(crate) fn client(&self) -> Result<Stream> {
        Stream::connect(self.front.address(), SOON).map_err(|failure| self.subject.with_log(&failure))
    }

    /// Connects a client and returns its connection and the backend's.
    pub(crate) fn session(&self) -> Result<(Stream, Stream)> {
        let client = self.client()?;
        let server = self.back.accept(SOON).map_err(|failure| self.subject.with_log(&failure))?;
        Ok((client, server))
    }

    /// Waits up to `limit` for the result of `client`, which must be the newest one.
    pub(crate) fn fate(&self, client: &Stream, limit: Duration) -> Result<Fate> {
        let fate = wait::until("fate of a client", limit, || {
            if self.back.has_pending(Duration::ZERO)? {
                return Ok(Some(Fate::Served(self.back.accept(SOON)?)));
            }
            Ok(client.ended_within(Duration::from_millis(1))?.map(Fate::Dropped))
        });
        match fate {
            Err(failure) if failure.is_timeout() => Ok(Fate::Waiting),
            other => other,
        }
    }

    /// Connects `count` clients one after another, keeps them open, and returns how many exchange bytes with the
    /// backend.
    pub(crate) fn served_of(&self, count: usize) -> Result<usize> {
        let mut open = Vec::new();
        for _ in 0..count {
            let client = self.client()?;
            match self.fate(&client, SOON)? {
                // The backend may receive a connection that the program then closes.
                Fate::Served(server) => match exchange(&client, &server) {
                    Ok(()) => open.push((client, server)),
                    Err(failure) if failure.is_timeout() => return Err(failure),
                    Err(_) => {}
                },
                Fate::Dropped(_) => {}
                Fate::Waiting => return Err(Failure::Unexpected("a client is still waiting".to_owned())),
            }
        }
        Ok(open.len())
    }

    /// Returns `serves` if the program serves a session, or the way in which the program ended.
    pub(crate) fn beginning(&mut self) -> Result<String> {
        let client = self.client()?;
        let begun = wait::until("session or end", SOON, || {
            if self.back.has_pending(Duration::ZERO)? {
                let server = self.back.accept(SOON)?;
                exchange(&client, &server)?;
                return Ok(Some("serves".to_owned()));
            }
            if self.subject.is_running()? { Ok(None) } else { ending(&mut self.subject, SOON).map(Some) }
        });
        begun.map_err(|failure| self.subject.with_log(&failure))
    }

    /// Returns `still running` if the program serves another session, or the way in which the program ended.
    pub(crate) fn state_after_next_session(&mut self) -> Result<String> {
        let state = self.beginning()?;
        Ok(if state == "serves" { "still running".to_owned() } else { state })
    }

    /// Returns the state after `limit`: `still running`, or the way in which the program ended.
    pub(crate) fn state_after(&mut self, limit: Duration) -> Result<String> {
        match self.subject.wait(limit) {
            Ok(_) => ending(&mut self.subject, SOON),
            Err(_) if self.subject.is_running()? => Ok("still running".to_owned()),
            Err(failure) => Err(failure),
        }
    }
}

/// Returns the time limit for an event that dormouse must cause and systemd-socket-proxyd may not cause: the common
/// limit for dormouse, and a shorter one for systemd-socket-proxyd.
pub(crate) fn end_limit(subject: Subject) -> Duration {
    match subject {
        Subject::Dormouse => LIMIT,
        Subject::SocketProxyd => Duration::from_secs(2),
    }
}

/// Sends a few bytes in both directions and checks that they arrive.
pub(crate) fn exchange(client: &Stream, server: &Stream) -> Result<()> {
    for (from, to, word) in [(client, server, b"question"), (server, client, b"a-answer")] {
        from.send(word, SOON)?;
        let got = to.receive(word.len(), SOON)?;
        if got != word {
            return Err(Failure::Unexpected(format!("{got:?} arrived instead of {word:?}")));
        }
    }
    Ok(())
}

/// Waits up to `limit` for the end of the program and returns its status and its log.
pub(crate) fn ending(subject: &mut Running, limit: Duration) -> Result<String> {
    let status = subject.wait(limit)?;
    let log = log_of(subject);
    let ended = describe(status);
    Ok(if log.is_empty() { ended } else { format!("{ended}: {log}") })
}

/// Waits until dormouse has written a line: a thread of its own writes the log. The original has none to wait for.
pub(crate) fn await_line(program: &Running, subject: Subject) -> Result<()> {
    if subject == Subject::Dormouse {
        program.stderr().wait_for("\n", SOON)?;
    }
    Ok(())
}

/// Returns the standard error of the program as one line, without priorities and with its name as `ARGV0`.
pub(crate) fn log_of(subject: &Running) -> String {
    let text = subject.stderr().text().replace(subject.argv0(), "ARGV0");
    let lines: Vec<_> = text.lines().map(without_priority).collect();
    lines.join(" | ")
}

fn without_priority(line: &str) -> &str {
    line.strip_prefix('<').and_then(|rest| rest.split_once('>')).map_or(line, |(_, text)| text)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => format!("{status}"),
    }
}
