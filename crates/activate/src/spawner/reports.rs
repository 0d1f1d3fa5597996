//! The reports of the spawner about one request: lines on a socket of its own.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use crate::process::Termination;

/// The longest report, in bytes.
pub(super) const MAX_REPORT: usize = 1 << 16;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program runs under this number.
    Started(Pid),
    /// The program cannot be started, for this reason.
    Failed(Errno),
    /// The program was not in the configuration when dormouse started.
    Refused,
    /// The program has ended. It keeps its number until dormouse closes the socket.
    Ended(Termination),
    /// The answer to a question, as JSON.
    Answer(String),
}

/// The line as it is sent, with its line feed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(pid) => writeln!(f, "started {pid}"),
            Self::Failed(errno) => writeln!(f, "failed {}", errno.raw_os_error()),
            Self::Refused => f.write_str("refused \n"),
            Self::Ended(Termination::Exited(code)) => writeln!(f, "exited {code}"),
            Self::Ended(Termination::Killed(signal)) => writeln!(f, "killed {signal}"),
            Self::Answer(text) => writeln!(f, "answer {text}"),
        }
    }
}

impl Report {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        Some(match word {
            "started" => Self::Started(Pid::from_raw(rest.parse().ok()?)?),
            "failed" => Self::Failed(Errno::from_raw_os_error(rest.parse().ok()?)),
            "refused" => Self::Refused,
            "exited" => Self::Ended(Termination::Exited(rest.parse().ok()?)),
            "killed" => Self::Ended(Termination::Killed(rest.parse().ok()?)),
            "answer" => Self::Answer(rest.to_owned()),
            _ => return None,
        })
    }
}

/// The side of dormouse of the socket for the reports about one request.
#[derive(Debug)]
pub(super) struct Reports {
    socket: UnixStream,
    received: Vec<u8>,
}

impl Reports {
    pub(super) fn new(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixStream::from_std(socket)?, received: Vec::new() })
    }

    /// Returns the next report. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Report> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                return Report::parse(&line).ok_or_else(gone);
            }
            if self.received.len() > MAX_REPORT {
                return Err(gone());
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(1..) => {}
                _ => return Err(gone()),
            }
        }
    }

    /// Writes a byte. It gets lost if the spawner has ended.
    pub(super) fn write(&self, byte: u8) {
        let _ = self.socket.try_write(&[byte]);
    }
}

/// The error after the end of the spawner.
pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the spawner has ended; restart dormouse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_a_round_trip() {
        for report in [
            Report::Started(Pid::from_raw(7).unwrap()),
            Report::Failed(Errno::NOENT),
            Report::Refused,
            Report::Ended(Termination::Exited(3)),
            Report::Ended(Termination::Killed(9)),
            Report::Answer("{\"a b\":1}".to_owned()),
        ] {
            let line = report.to_string();
            assert_eq!(Report::parse(line.strip_suffix('\n').unwrap()), Some(report));
        }
        for line in ["", "started", "started 0", "started x", "other 1", "exited 99999999999"] {
            assert_eq!(Report::parse(line), None, "{line}");
        }
    }
}
