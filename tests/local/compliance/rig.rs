//! A subject between clients and a backend.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use dormouse_tests::wait::{LIMIT, SOON};
use dormouse_tests::{Ending, Failure, Family, Launch, Listener, Result, Running, Stream, Subject, wait};

/// How long "nothing happens" is watched for.
pub(crate) const A_WHILE: Duration = Duration::from_millis(400);

/// A subject about to be put between a front and a backend.
pub(crate) struct Plan {
    subject: Subject,
    front: Family,
    back: Family,
    target: Option<String>,
    launch: Launch,
}

impl Plan {
    /// TCP over IPv4 on both sides.
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, front: Family::Tcp4, back: Family::Tcp4, target: None, launch: Launch::new(subject) }
    }

    /// The families of the two sides.
    pub(crate) fn between(self, front: Family, back: Family) -> Self {
        Self { front, back, ..self }
    }

    /// Arguments for both subjects.
    pub(crate) fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { launch: self.launch.args(args), ..self }
    }

    /// Arguments for ours only.
    pub(crate) fn ours<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        if self.subject == Subject::Ours { self.args(args) } else { self }
    }

    /// Another target than the backend's address; `{port}` in it is the backend's port.
    pub(crate) fn target(self, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..self }
    }

    /// Anything else about the way it is started.
    pub(crate) fn launch(self, change: impl FnOnce(Launch) -> Launch) -> Self {
        Self { launch: change(self.launch), ..self }
    }

    /// Starts it between two new listeners.
    pub(crate) fn start(self) -> Result<Rig> {
        let back = Listener::bind(self.back)?;
        self.start_before(back)
    }

    /// Starts it when a client is in the queue already, and has that client's session: however slow the
    /// machine is, a short idle time cannot end the program before it.
    pub(crate) fn start_with_session(self) -> Result<(Rig, Stream, Stream)> {
        let front = Listener::bind(self.front)?;
        let back = Listener::bind(self.back)?;
        self.start_between_with_session(front, back)
    }

    /// The same between these two.
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

    /// Starts it before this backend.
    pub(crate) fn start_before(self, back: Listener) -> Result<Rig> {
        let front = Listener::bind(self.front)?;
        self.start_between(front, back)
    }

    /// Starts it between these two.
    pub(crate) fn start_between(self, front: Listener, back: Listener) -> Result<Rig> {
        let target = match self.target {
            Some(target) => target.replace("{port}", &back.address().port().to_string()),
            None => back.address().to_string(),
        };
        let subject = self.launch.arg(target).pass(&front).start()?;
        Ok(Rig { subject, front, back })
    }
}

/// A running subject, the listener it was given, and the backend behind it.
pub(crate) struct Rig {
    pub(crate) subject: Running,
    pub(crate) front: Listener,
    pub(crate) back: Listener,
}

/// What became of a client.
pub(crate) enum Fate {
    /// It has been connected to the backend; this is the backend's end.
    Served(Stream),
    /// It has been dropped before the backend saw it.
    Dropped(Ending),
    /// Neither, within the time allowed.
    Waiting,
}

impl Rig {
    /// A client at the front.
    pub(crate) fn client(&self) -> Result<Stream> {
        Stream::connect(self.front.address(), SOON).map_err(|failure| self.subject.with_log(&failure))
    }

    /// A client, and the backend's end of its session.
    pub(crate) fn session(&self) -> Result<(Stream, Stream)> {
        let client = self.client()?;
        let server = self.back.accept(SOON).map_err(|failure| self.subject.with_log(&failure))?;
        Ok((client, server))
    }

    /// What becomes of `client`, the newest one, within `limit`.
    pub(crate) fn fate(&self, client: &Stream, limit: Duration) -> Result<Fate> {
        let fate = wait::until("fate of a client", limit, || {
            if self.back.has_waiting(Duration::ZERO)? {
                return Ok(Some(Fate::Served(self.back.accept(SOON)?)));
            }
            Ok(client.ended_within(Duration::from_millis(1))?.map(Fate::Dropped))
        });
        match fate {
            Err(failure) if failure.is_timeout() => Ok(Fate::Waiting),
            other => other,
        }
    }

    /// How many of `count` clients, one after another and all kept open, are served: bytes go both ways.
    pub(crate) fn served_of(&self, count: usize) -> Result<usize> {
        let mut open = Vec::new();
        for _ in 0..count {
            let client = self.client()?;
            match self.fate(&client, SOON)? {
                // The backend may see a connection that the subject then gives up.
                Fate::Served(server) => match exchange(&client, &server) {
                    Ok(()) => open.push((client, server)),
                    Err(failure) if failure.is_timeout() => return Err(failure),
                    Err(_) => {}
                },
                Fate::Dropped(_) => {}
                Fate::Waiting => return Err(Failure::Unexpected("a client is left waiting".to_owned())),
            }
        }
        Ok(open.len())
    }

    /// Whether it serves a session or ends, and how.
    pub(crate) fn beginning(&mut self) -> Result<String> {
        let client = self.client()?;
        let begun = wait::until("session or end", SOON, || {
            if self.back.has_waiting(Duration::ZERO)? {
                let server = self.back.accept(SOON)?;
                exchange(&client, &server)?;
                return Ok(Some("serves".to_owned()));
            }
            if self.subject.is_running()? { Ok(None) } else { ending(&mut self.subject, SOON).map(Some) }
        });
        begun.map_err(|failure| self.subject.with_log(&failure))
    }

    /// `still running` if it serves another session, or how it has ended.
    pub(crate) fn state_after_next_session(&mut self) -> Result<String> {
        let state = self.beginning()?;
        Ok(if state == "serves" { "still running".to_owned() } else { state })
    }

    /// `still running`, or how it has ended, after `limit`.
    pub(crate) fn state_after(&mut self, limit: Duration) -> Result<String> {
        match self.subject.wait(limit) {
            Ok(_) => ending(&mut self.subject, SOON),
            Err(_) if self.subject.is_running()? => Ok("still running".to_owned()),
            Err(failure) => Err(failure),
        }
    }
}

/// Returns how long an event is waited for that dormouse must cause and the original may not cause: for dormouse the
/// common deadline, for the original a shorter time.
pub(crate) fn patience(subject: Subject) -> Duration {
    match subject {
        Subject::Ours => LIMIT,
        Subject::Original => Duration::from_secs(2),
    }
}

/// Sends a few bytes both ways and checks that they arrive.
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

/// How a subject ends within `limit`: its status and what it wrote.
pub(crate) fn ending(subject: &mut Running, limit: Duration) -> Result<String> {
    let status = subject.wait(limit)?;
    let log = log_of(subject);
    let ended = describe(status);
    Ok(if log.is_empty() { ended } else { format!("{ended}: {log}") })
}

/// What a subject wrote to its standard error: the lines in one, priorities taken off, its name as `ARGV0`.
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
