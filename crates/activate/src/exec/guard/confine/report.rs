//! What the process of a program reports to its guard before it executes the program: lines in a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// The size of all lines that are read, in bytes. A pipe can hold more, so that the writer never waits.
const MAX: u64 = 4096;
/// Begins the line of a refusal.
const REFUSED: &str = "refused ";
/// Begins the line of a missing part.
const MISSING: &str = "missing ";
/// Begins the line of a user namespace without users.
const NO_USERS: &str = "no-users ";

/// What was reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Notes {
    /// The parts of the confinement that are missing.
    pub(in super::super) missing: Vec<String>,
    /// Why the program must not be started.
    pub(in super::super) refusal: Option<String>,
    /// Why the process was in a user namespace without users, so that it must be started without one.
    pub(super) no_users: Option<String>,
}

/// The end of the process of the program. It is closed when the program is executed.
pub(super) struct Reporter(File);

/// The end of the guard.
pub(super) struct Reader(OwnedFd);

/// Returns both ends.
pub(super) fn channel() -> io::Result<(Reporter, Reader)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Reporter(write.into()), Reader(read)))
}

impl Reporter {
    /// Reports that a part is missing.
    pub(super) fn missing(&self, text: &str) {
        self.line(MISSING, text);
    }

    /// Reports why the program must not be started.
    pub(super) fn refused(&self, reason: &str) {
        self.line(REFUSED, reason);
    }

    /// Reports why the user namespace of the process has no users.
    pub(super) fn no_users(&self, reason: &str) {
        self.line(NO_USERS, reason);
    }

    fn line(&self, kind: &str, text: &str) {
        // The guard reads as long as it lives.
        let _ = (&self.0).write_all(format!("{kind}{}\n", text.replace('\n', " ")).as_bytes());
    }
}

impl Reader {
    /// Reads everything that is reported. Waits until the program is executed or its process has ended.
    pub(super) fn read(self) -> Notes {
        let mut text = Vec::new();
        let _ = File::from(self.0).take(MAX).read_to_end(&mut text);
        let mut notes = Notes::default();
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some(text) = line.strip_prefix(MISSING) {
                notes.missing.push(text.to_owned());
            } else if let Some(reason) = line.strip_prefix(REFUSED) {
                notes.refusal = Some(reason.to_owned());
            } else if let Some(reason) = line.strip_prefix(NO_USERS) {
                notes.no_users = Some(reason.to_owned());
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_lines() {
        let (reporter, reader) = channel().unwrap();
        reporter.missing("no\nluck");
        reporter.refused("a hole");
        reporter.no_users("not here");
        drop(reporter);
        let notes = Notes {
            missing: vec!["no luck".to_owned()],
            refusal: Some("a hole".to_owned()),
            no_users: Some("not here".to_owned()),
        };
        assert_eq!(reader.read(), notes);
    }
}
