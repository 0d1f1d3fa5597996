//! The end of a run.

use std::io;
use std::time::Duration;

use super::super::failure;
use super::{AfterRun, Phase, Running};
use crate::process::{Termination, spawn_failure};
use crate::{Event, Operation};

/// The time that the last output of an ended program may take to arrive.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// How a run ended.
pub(super) enum RunEnd {
    /// The guard could not start the program; the value is the error number.
    NotStarted(i32),
    /// The guard did not start the program, for this reason.
    Refused(String),
    /// The program and all its descendants have ended.
    Terminated(Termination),
    /// The guard ended without a report.
    GuardLost,
    /// The run did not end in time.
    TimedOut,
}

impl Running<'_> {
    /// Reports the end, and waits until the guard has ended.
    pub(super) async fn finish(mut self, end: RunEnd) -> AfterRun {
        let event = match end {
            RunEnd::TimedOut => return AfterRun::End,
            RunEnd::Terminated(termination) => {
                self.output.finish(OUTPUT_TIMEOUT).await;
                match self.phase {
                    Phase::Stopping => Some(Event::Stopped),
                    Phase::CleaningUp => None,
                    _ if termination.is_success() => Some(Event::Exited(Ok(()))),
                    _ => Some(Event::Exited(Err(self.run_failure(termination)))),
                }
            }
            RunEnd::NotStarted(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                let program = self.exec.argv.first().cloned().unwrap_or_default();
                let user = self.exec.account().map(|user| user.name.as_str());
                let error = failure(self.exec, Operation::Start, spawn_failure(&program, user, &error));
                Some(if self.phase == Phase::Stopping { Event::Stopped } else { Event::StartFailed(error) })
            }
            RunEnd::Refused(reason) => {
                let error = failure(self.exec, Operation::Start, reason);
                Some(if self.phase == Phase::Stopping { Event::Stopped } else { Event::StartFailed(error) })
            }
            RunEnd::GuardLost => {
                self.guard.kill_remaining().await;
                self.output.finish(OUTPUT_TIMEOUT).await;
                let reason = |what: &str| format!("its guard {what}{}", self.output.last_line());
                match self.phase {
                    Phase::Stopping => Some(Event::Stopped),
                    Phase::CleaningUp => None,
                    Phase::Starting => Some(Event::StartFailed(failure(
                        self.exec,
                        Operation::Start,
                        reason("ended before the program started; check the limits of memory and processes"),
                    ))),
                    _ => Some(Event::Exited(Err(failure(
                        self.exec,
                        Operation::Run,
                        reason(
                            "was killed, and with it all processes; check the log for the kernel's OOM killer",
                        ),
                    )))),
                }
            }
        };
        let Self { guard, events, notify_socket, .. } = self;
        drop(notify_socket);
        guard.wait().await;
        if let Some(event) = event {
            let _ = events.send(event).await;
        }
        match (self.end_by, self.restart) {
            (Some(_), _) => AfterRun::End,
            (None, true) => AfterRun::Restart,
            (None, false) => AfterRun::Wait,
        }
    }
}
