//! Supervises the program and its descendants: carries out requests, and reports events.

mod start;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};

use super::super::protocol::{GuardEvent, GuardRequest};
use super::descendants::{Descendants, Reaped, descendants, reap, signal_all};
use super::freezer::{Freezer, Progress};
use crate::process::Termination;

/// The first pause between two polls of a freeze, or two rounds of SIGKILL.
const MIN_PAUSE: Duration = Duration::from_millis(1);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The time after SIGKILL until the guard warns: such a process hangs in the kernel.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// A guard and its program.
pub(super) struct Guard {
    /// The connection to dormouse. `None` after its end.
    socket: Option<UnixStream>,
    stop_timeout: Duration,
    main: Option<Pid>,
    main_termination: Option<Termination>,
    /// The termination of the last process.
    last: Termination,
    stop: StopState,
    freezer: Freezer,
    /// A freeze is in progress.
    freezing: bool,
    pause: Duration,
}

/// The progress of the stop.
#[derive(Clone, Copy)]
enum StopState {
    NotRequested,
    /// SIGTERM was sent. SIGKILL follows.
    Terminating {
        kill_at: Instant,
    },
    /// SIGKILL was sent.
    Killing {
        since: Instant,
        warned: bool,
    },
}

impl Guard {
    /// Creates a guard that is connected to dormouse, without a program.
    pub(super) fn new(socket: UnixStream, stop_timeout: Duration) -> Self {
        Self {
            socket: Some(socket),
            stop_timeout,
            main: None,
            main_termination: None,
            last: Termination::Exited(0),
            stop: StopState::NotRequested,
            freezer: Freezer::default(),
            freezing: false,
            pause: MIN_PAUSE,
        }
    }

    /// Serves requests until the program and all its descendants have ended.
    pub(super) fn watch(&mut self, signals: &UnixStream) -> io::Result<()> {
        let mut discarded = [0; 64];
        loop {
            if self.reap() {
                return Ok(());
            }
            self.advance();
            let timeout = self.timeout();
            let (signalled, requested) = wait(signals, self.socket.as_ref(), timeout)?;
            if signalled {
                while matches!((&*signals).read(&mut discarded), Ok(1..)) {}
            }
            if requested {
                self.handle_request();
            }
        }
    }

    /// Reaps all terminated processes. Returns whether none is left.
    fn reap(&mut self) -> bool {
        let mut main_terminated = false;
        loop {
            match reap() {
                Reaped::Terminated(pid, termination) if Some(pid) == self.main => {
                    self.main = None;
                    self.main_termination = Some(termination);
                    self.last = termination;
                    main_terminated = true;
                }
                // Processes that end together with the program do not decide how the run ended.
                Reaped::Terminated(..) if main_terminated => {}
                Reaped::Terminated(_, termination) => self.last = termination,
                Reaped::NoneTerminated => {
                    if let (true, Some(termination)) = (main_terminated, self.main_termination) {
                        self.send(&GuardEvent::MainEnded(termination));
                    }
                    return false;
                }
                Reaped::NoChildren => {
                    self.freezer.remove();
                    let failure = self.main_termination.filter(|termination| !termination.is_success());
                    self.send(&GuardEvent::Ended(failure.unwrap_or(self.last)));
                    return true;
                }
            }
        }
    }

    fn handle_request(&mut self) {
        let mut byte = [0; 1];
        let request = match self.socket.as_mut().map(|socket| socket.read(&mut byte)) {
            Some(Ok(1..)) => byte.first().and_then(|byte| GuardRequest::from_byte(*byte)),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => None,
            _ => {
                self.socket = None;
                Some(GuardRequest::Stop)
            }
        };
        match request {
            Some(GuardRequest::Stop) => self.stop(),
            Some(GuardRequest::Freeze) => {
                self.freezer.start();
                self.freezing = true;
                self.pause = MIN_PAUSE;
            }
            Some(GuardRequest::Thaw) => {
                self.freezing = false;
                self.freezer.thaw();
                self.send(&GuardEvent::Thawed);
            }
            None => {}
        }
    }

    fn stop(&mut self) {
        self.freezing = false;
        if matches!(self.stop, StopState::NotRequested) {
            let Descendants { found, cut_short } = descendants();
            let _ = signal_all(&found, Signal::TERM);
            if cut_short {
                let limit = dormouse_sys::fd_limit::current();
                self.send(&GuardEvent::Warning(format!(
                    "not all of its processes got SIGTERM: there are more than the limit of {limit} descriptors; raise it \
                     (LimitNOFILE=, ulimit -Hn)"
                )));
            }
            let now = Instant::now();
            self.stop = StopState::Terminating { kill_at: now.checked_add(self.stop_timeout).unwrap_or(now) };
        }
        // A frozen or stopped process cannot handle the signal.
        self.freezer.thaw();
    }

    /// Advances the freeze and the stop in progress.
    fn advance(&mut self) {
        if self.freezing {
            match self.freezer.poll() {
                Progress::Pending => {}
                Progress::Done => {
                    self.freezing = false;
                    self.send(&GuardEvent::Frozen);
                }
                Progress::Failed(reason) => {
                    self.freezing = false;
                    self.freezer.thaw();
                    self.send(&GuardEvent::FreezeFailed(reason));
                }
            }
        }
        match self.stop {
            StopState::Terminating { kill_at } if Instant::now() >= kill_at => {
                self.stop = StopState::Killing { since: Instant::now(), warned: false };
                self.pause = MIN_PAUSE;
                self.send(&GuardEvent::Warning(format!(
                    "did not end within {} s of SIGTERM (stop_timeout), and is killed",
                    self.stop_timeout.as_secs_f64()
                )));
                self.kill();
            }
            StopState::Killing { since, warned } => {
                self.kill();
                if !warned && since.elapsed() > STUCK_AFTER {
                    self.stop = StopState::Killing { since, warned: true };
                    let remaining = descendants().found;
                    let remaining: Vec<_> = remaining.iter().map(|one| one.pid().to_string()).collect();
                    self.send(&GuardEvent::Warning(format!(
                        "SIGKILL does not end process {}: it hangs in the kernel or belongs to another user",
                        remaining.join(", ")
                    )));
                }
            }
            StopState::NotRequested | StopState::Terminating { .. } => {}
        }
    }

    fn kill(&self) {
        self.freezer.kill();
        let _ = signal_all(&descendants().found, Signal::KILL);
    }

    /// Returns the time until [`Self::advance`] is due.
    fn timeout(&mut self) -> Option<Duration> {
        match self.stop {
            _ if self.freezing => Some(self.next_pause()),
            StopState::NotRequested => None,
            StopState::Terminating { kill_at } => Some(kill_at.saturating_duration_since(Instant::now())),
            StopState::Killing { .. } => Some(self.next_pause()),
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(MAX_PAUSE);
        pause
    }

    /// Reports why the program is not started.
    pub(super) fn refuse(&mut self, reason: &str) {
        self.send(&GuardEvent::Refused(reason.to_owned()));
    }

    fn send(&mut self, event: &GuardEvent) {
        if let Some(socket) = &mut self.socket {
            // The next read notices that dormouse is gone.
            let _ = socket.write_all(event.to_string().as_bytes());
        }
    }
}

/// Waits for a signal and for a request. Returns whether each has arrived.
fn wait(
    signals: &UnixStream,
    socket: Option<&UnixStream>,
    timeout: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut all = vec![PollFd::new(signals, PollFlags::IN)];
    all.extend(socket.map(|socket| PollFd::new(socket, PollFlags::IN)));
    match poll(&mut all, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((true, false)),
        Err(error) => return Err(error.into()),
    }
    let ready = |index: usize| all.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok((ready(0), ready(1)))
}
