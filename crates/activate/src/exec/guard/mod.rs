//! The guard: a process between dormouse and a program that dormouse starts.
//!
//! When its socket to dormouse is closed, for whatever reason, the guard stops the program and all its descendants. It
//! may outlive dormouse until they have ended. It is the subreaper of all descendants of the program, whatever their
//! group or session. It has one thread, which waits for requests and for the end of children.

mod descendants;
mod freezer;

use std::ffi::{CString, OsString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, getpid, set_child_subreaper, setsid};

use self::descendants::{Reaped, descendants, reap, signal_all};
use self::freezer::{Freezer, Progress};
use super::notify_socket;
use super::protocol::{DESCRIPTOR_LIMIT, GuardEvent, GuardRequest};
use crate::process::Termination;

/// SIGCHLD, and the signals that would kill the guard before the program.
const HANDLED_SIGNALS: [Signal; 6] =
    [Signal::CHILD, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::TERM];
/// The first pause between two polls of a freeze, or two rounds of SIGKILL.
const MIN_PAUSE: Duration = Duration::from_millis(1);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The time after SIGKILL until the guard warns: such a process hangs in the kernel.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Runs a guard. The arguments are those after the subcommand: `STOP_TIMEOUT -- PROGRAM ARGUMENTS…`, with the stop
/// timeout in milliseconds. Standard input is the socket to dormouse.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let timeout = args.next().and_then(|text| text.to_str()?.parse().ok()).map(Duration::from_millis);
    let (Some(stop_timeout), Some(_), Some(program)) = (timeout, args.next(), args.next()) else {
        return fail("This is a part of dormouse, and of no use by hand.");
    };
    match guard(stop_timeout, &program, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("The guard of {} cannot work: {error}", program.to_string_lossy())),
    }
}

fn fail(reason: &str) -> ExitCode {
    // There is no other place to report an error of standard error.
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

fn guard(stop_timeout: Duration, program: &OsString, args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    // Fails only if the guard is a process group leader already, which is sufficient.
    let _ = setsid();
    // With another name, `pkill` for the program does not kill the guard before the program.
    let name = std::env::var("DORMOUSE_SERVICE").unwrap_or_default();
    if let Ok(name) = CString::new(format!("guard:{name}")) {
        let _ = rustix::thread::set_name(&name);
    }
    set_child_subreaper(Some(getpid()))?;
    if let Some(limit) = std::env::var(DESCRIPTOR_LIMIT).ok().and_then(|limit| limit.parse().ok()) {
        dormouse_sys::fd_limit::set(limit);
    }
    let signals = signals()?;
    let mut guard = Guard {
        socket: Some(socket),
        stop_timeout,
        main: None,
        main_termination: None,
        last: Termination::Exited(0),
        stop: StopState::NotRequested,
        freezer: Freezer::default(),
        freezing: false,
        pause: MIN_PAUSE,
    };
    if guard.start(program, args) {
        guard.watch(&signals)?;
    }
    notify_socket::remove_left_behind();
    Ok(())
}

/// Returns a socket that receives a byte with each signal. The program does not inherit it.
fn signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in HANDLED_SIGNALS {
        signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    Ok(read)
}

struct Guard {
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
    fn start(&mut self, program: &OsString, args: impl Iterator<Item = OsString>) -> bool {
        // In a group of its own: a script that signals its group (`kill 0`) must not signal the guard.
        let child = Command::new(program)
            .args(args)
            .env_remove(DESCRIPTOR_LIMIT)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn();
        match child {
            Ok(child) => {
                self.main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.send(&GuardEvent::Started);
                true
            }
            Err(error) => {
                self.send(&GuardEvent::Failed(error.raw_os_error().unwrap_or_default()));
                false
            }
        }
    }

    /// Serves requests until the program and all its descendants have ended.
    fn watch(&mut self, signals: &UnixStream) -> io::Result<()> {
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
            let _ = signal_all(&descendants(), Signal::TERM);
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
                self.kill();
            }
            StopState::Killing { since, warned } => {
                self.kill();
                if !warned && since.elapsed() > STUCK_AFTER {
                    self.stop = StopState::Killing { since, warned: true };
                    let remaining: Vec<String> = descendants().iter().map(ToString::to_string).collect();
                    self.send(&GuardEvent::Warning(format!(
                        "SIGKILL does not end process {}: it hangs in the kernel, or belongs to somebody else",
                        remaining.join(", ")
                    )));
                }
            }
            StopState::NotRequested | StopState::Terminating { .. } => {}
        }
    }

    fn kill(&self) {
        self.freezer.kill();
        let _ = signal_all(&descendants(), Signal::KILL);
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
