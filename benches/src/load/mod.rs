//! The measures: what a client does, and what is read off meanwhile. One file each.

pub(crate) mod bulk;
pub(crate) mod cold;
pub(crate) mod connections;
mod hold;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod messages;
pub(crate) mod startup;
pub(crate) mod stuck;

use std::{collections::BTreeMap, fmt, os::fd::OwnedFd, str::FromStr, time::Duration};

use rustix::{
    net::{RecvFlags, recv, send},
    process::Pid,
};

use crate::{
    backend::Mode,
    error::{Doing, Error, Result},
    net::{Endpoint, SEND},
    process::{Role, say},
    site::Site,
};

pub(crate) use bulk::Direction;
pub(crate) use cold::Way;
pub(crate) use connections::Ending;
pub(crate) use hold::Manner;

/// The size of a request and of its answer.
pub(crate) const MESSAGE: usize = 64;
/// Said by a client when the time that counts begins.
const BEGIN: &str = "begin";
/// Said by a client when it is over, followed by what it counted.
const END: &str = "end";
/// How long a client may take beyond the time it was given.
const GRACE: Duration = Duration::from_secs(20);

/// What a client process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Bulk { direction: Direction, streams: usize },
    Messages { sessions: usize },
    Connections { ending: Ending, count: usize },
    Latency,
    Hold { manner: Manner, sessions: usize },
}

/// How long a load runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Before the time that counts.
    pub(crate) warm: Duration,
    /// The time that counts, or the most that a counted load may take.
    pub(crate) window: Duration,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { direction, streams } => write!(f, "bulk:{direction}:{streams}"),
            Self::Messages { sessions } => write!(f, "messages:{sessions}"),
            Self::Connections { ending, count } => write!(f, "connections:{ending}:{count}"),
            Self::Latency => f.write_str("latency"),
            Self::Hold { manner, sessions } => write!(f, "hold:{manner}:{sessions}"),
        }
    }
}

impl FromStr for Load {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Usage(format!("not a load: {text}"));
        let number = |word: &str| word.parse().map_err(|_| wrong());
        let words: Vec<&str> = text.split(':').collect();
        Ok(match words.as_slice() {
            ["bulk", direction, streams] => {
                Self::Bulk { direction: direction.parse()?, streams: number(streams)? }
            }
            ["messages", sessions] => Self::Messages { sessions: number(sessions)? },
            ["connections", ending, count] => {
                Self::Connections { ending: ending.parse()?, count: number(count)? }
            }
            ["latency"] => Self::Latency,
            ["hold", manner, sessions] => Self::Hold { manner: manner.parse()?, sessions: number(sessions)? },
            _ => return Err(wrong()),
        })
    }
}

/// The client role: runs one load against the front and says what it counted.
pub(crate) fn client(load: Load, front: &Endpoint, span: Span) -> Result<()> {
    match load {
        Load::Bulk { direction, streams } => bulk::client(direction, streams, front, span),
        Load::Messages { sessions } => messages::client(sessions, front, span),
        Load::Connections { ending, count } => connections::client(ending, count, front, span),
        Load::Latency => latency::client(front, span),
        Load::Hold { manner, sessions } => hold::client(manner, sessions, front),
    }
}

fn begin() -> Result<()> {
    say(BEGIN)
}

fn end(counted: &[(&str, f64)]) -> Result<()> {
    let words: Vec<String> = counted.iter().map(|(key, value)| format!("{key}={value}")).collect();
    say(&format!("{END} {}", words.join(" ")))
}

/// One request and its answer on a blocking socket.
fn exchange(socket: &OwnedFd) -> Result<()> {
    let mut answer = [0; MESSAGE];
    let mut got = 0;
    send(socket, &[b'q'; MESSAGE], SEND).doing(|| "send a request".into())?;
    while got < MESSAGE {
        match recv(socket, answer.get_mut(got..).unwrap_or_default(), RecvFlags::empty()) {
            Ok((0, _)) => return Err(Error::Protocol("the session ended before its answer".into())),
            Ok((count, _)) => got += count,
            Err(error) => return Err(error).doing(|| "read an answer".into()),
        }
    }
    Ok(())
}

/// A client process, and what it said.
pub(crate) struct Client {
    role: Role,
    at_most: Duration,
}

/// What a client counted in its window, and what the proxy's CPU did meanwhile.
pub(crate) struct Counted {
    values: BTreeMap<String, f64>,
    /// CPU time of the proxy in seconds; none without a proxy.
    pub(crate) cpu: Option<f64>,
}

impl Counted {
    pub(crate) fn get(&self, key: &str) -> Result<f64> {
        self.values
            .get(key)
            .copied()
            .ok_or_else(|| Error::Protocol(format!("the client did not count {key}")))
    }
}

/// Runs a load through a site from its begin to its end.
/// `settle` waits for the proxy to finish what the load left to it before its CPU time is read.
pub(crate) fn run(load: Load, backend: Mode, site: &Site<'_>, settle: bool) -> Result<Counted> {
    let mut stage = site.stage(backend)?;
    let mut client = Client::start(load, &stage.proxy.front, site)?;
    let counted = client.until_begin().and_then(|()| {
        let pid = stage.pid()?;
        let before = pid.map(crate::proc::cpu).transpose()?;
        let values = client.until_end()?;
        let after = pid.map(|pid| spent(pid, settle)).transpose()?;
        let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before).as_secs_f64());
        Ok(Counted { values, cpu })
    });
    // If the proxy is gone, its own words say more than the client's.
    stage.check()?;
    counted
}

fn spent(pid: Pid, settle: bool) -> Result<Duration> {
    if settle { crate::proc::settled(pid, Duration::from_secs(2)) } else { crate::proc::cpu(pid) }
}

impl Client {
    pub(crate) fn start(load: Load, front: &Endpoint, site: &Site<'_>) -> Result<Self> {
        let Span { warm, window } = site.span;
        let words = [
            "client".to_owned(),
            load.to_string(),
            front.to_string(),
            warm.as_millis().to_string(),
            window.as_millis().to_string(),
        ];
        Ok(Self { role: Role::start(&words, site.log())?, at_most: warm + window + GRACE })
    }

    pub(crate) fn until_ready(&mut self) -> Result<()> {
        self.role.expect(hold::READY, self.at_most).map(drop)
    }

    pub(crate) fn until_begin(&mut self) -> Result<()> {
        self.role.expect(BEGIN, self.at_most).map(drop)
    }

    pub(crate) fn until_end(&mut self) -> Result<BTreeMap<String, f64>> {
        let words = self.role.expect(END, self.at_most)?;
        words
            .split_whitespace()
            .map(|word| {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                let value = value.parse().map_err(|_| Error::Protocol(format!("the client said {word}")))?;
                Ok((key.to_owned(), value))
            })
            .collect()
    }

    /// Lets a client that holds its sessions go on.
    pub(crate) fn go(&mut self) -> Result<()> {
        self.role.go()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_survives_the_command_line() {
        for text in
            ["bulk:up:8", "bulk:down:1", "messages:64", "connections:reset:10", "latency", "hold:stuck:5"]
        {
            assert_eq!(text.parse::<Load>().unwrap().to_string(), text);
        }
        assert!("bulk:sideways:1".parse::<Load>().is_err());
    }
}
