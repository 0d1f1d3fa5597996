//! The process between us and a program that we start. It outlives us for as long as there is something to end: when
//! the socket to us is closed, however that came about, it ends all of it.
//!
//! It is the reaper of all that descends from the program, in whatever group or session that is, and a small one: one
//! thread that waits for our orders and for the end of children.

mod family;
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

use self::family::{Reaped, descendants, reap, signal};
use self::freezer::{Freezer, Progress};
use super::guarded::DESCRIPTORS;
use super::notify;
use super::protocol::{Ask, Said};
use crate::process::Ending;

/// The end of a child, and those that would end us before what we guard.
const KEPT_OFF: [Signal; 6] =
    [Signal::CHILD, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::TERM];
/// How often it is looked whether all has come to rest, and how often what does not die is killed again, at first.
const SOON: Duration = Duration::from_millis(1);
/// …and in the end.
const LATER: Duration = Duration::from_millis(500);
/// What SIGKILL has not ended by then hangs in the kernel, and somebody should know.
const STUCK: Duration = Duration::from_secs(5);

/// Guards a program. The arguments are those after the subcommand: `STOP_TIMEOUT -- PROGRAM ARGUMENTS…`, the stop
/// timeout in milliseconds; standard input is the socket to the process that gives orders.
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

fn fail(why: &str) -> ExitCode {
    // Nobody can be told that nobody can be told.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}

fn guard(stop_timeout: Duration, program: &OsString, args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let orders = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    orders.peer_addr()?;
    // Fails only where we are the first of a group already, which is as good.
    let _ = setsid();
    // So that who ends all of this name does not end us before what we guard.
    let name = std::env::var("DORMOUSE_SERVICE").unwrap_or_default();
    if let Ok(name) = CString::new(format!("guard:{name}")) {
        let _ = rustix::thread::set_name(&name);
    }
    set_child_subreaper(Some(getpid()))?;
    if let Some(limit) = std::env::var(DESCRIPTORS).ok().and_then(|limit| limit.parse().ok()) {
        dormouse_sys::fd_limit::set(limit);
    }
    let signals = signals()?;
    let mut guard = Guard {
        orders: Some(orders),
        stop_timeout,
        main: None,
        main_ending: None,
        last: Ending::Exited(0),
        stop: Stop::No,
        freezer: Freezer::default(),
        freezing: false,
        pause: SOON,
    };
    if guard.start(program, args) {
        guard.watch(&signals)?;
    }
    notify::remove_left_behind();
    Ok(())
}

/// A socket that a byte comes to with each signal. What we start knows nothing of it.
fn signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in KEPT_OFF {
        signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    Ok(read)
}

struct Guard {
    /// `None`: whoever gave them is gone.
    orders: Option<UnixStream>,
    stop_timeout: Duration,
    main: Option<Pid>,
    main_ending: Option<Ending>,
    /// How the last one ended.
    last: Ending,
    stop: Stop,
    freezer: Freezer,
    /// A freeze is under way.
    freezing: bool,
    pause: Duration,
}

/// How far the ending of all of it is.
#[derive(Clone, Copy)]
enum Stop {
    No,
    /// SIGTERM was sent; SIGKILL follows.
    Asked {
        kill_at: Instant,
    },
    /// SIGKILL was sent.
    Killing {
        since: Instant,
        told: bool,
    },
}

impl Guard {
    fn start(&mut self, program: &OsString, args: impl Iterator<Item = OsString>) -> bool {
        // A group of its own: a script that signals its group (`kill 0`) must not mean us.
        let child = Command::new(program)
            .args(args)
            .env_remove(DESCRIPTORS)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn();
        match child {
            Ok(child) => {
                self.main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.say(&Said::Started);
                true
            }
            Err(error) => {
                self.say(&Said::Failed(error.raw_os_error().unwrap_or_default()));
                false
            }
        }
    }

    /// Until nothing is left.
    fn watch(&mut self, signals: &UnixStream) -> io::Result<()> {
        let mut rubbish = [0; 64];
        loop {
            if self.reap() {
                return Ok(());
            }
            self.go_on();
            let timeout = self.timeout();
            let (child_ended, ordered) = wait(signals, self.orders.as_ref(), timeout)?;
            if child_ended {
                while matches!((&*signals).read(&mut rubbish), Ok(1..)) {}
            }
            if ordered {
                self.take_order();
            }
        }
    }

    /// Takes note of all that ended; whether none is left.
    fn reap(&mut self) -> bool {
        let mut main_ended = false;
        loop {
            match reap() {
                Reaped::One(pid, ending) if Some(pid) == self.main => {
                    self.main = None;
                    self.main_ending = Some(ending);
                    self.last = ending;
                    main_ended = true;
                }
                // What ends along with the program itself says nothing about how that did.
                Reaped::One(..) if main_ended => {}
                Reaped::One(_, ending) => self.last = ending,
                Reaped::NoneNow => {
                    if let (true, Some(ending)) = (main_ended, self.main_ending) {
                        self.say(&Said::MainEnded(ending));
                    }
                    return false;
                }
                Reaped::NoneLeft => {
                    self.freezer.remove();
                    let verdict = self.main_ending.filter(|ending| !ending.is_success()).unwrap_or(self.last);
                    self.say(&Said::Ended(verdict));
                    return true;
                }
            }
        }
    }

    fn take_order(&mut self) {
        let mut byte = [0; 1];
        let order = match self.orders.as_mut().map(|orders| orders.read(&mut byte)) {
            Some(Ok(1..)) => byte.first().and_then(|byte| Ask::from_byte(*byte)),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => None,
            _ => {
                self.orders = None;
                Some(Ask::Stop)
            }
        };
        match order {
            Some(Ask::Stop) => self.ask_to_end(),
            Some(Ask::Freeze) => {
                self.freezer.begin();
                self.freezing = true;
                self.pause = SOON;
            }
            Some(Ask::Thaw) => {
                self.freezing = false;
                self.freezer.thaw();
                self.say(&Said::Thawed);
            }
            None => {}
        }
    }

    fn ask_to_end(&mut self) {
        self.freezing = false;
        if matches!(self.stop, Stop::No) {
            let _ = signal(&descendants(), Signal::TERM);
            let now = Instant::now();
            self.stop = Stop::Asked { kill_at: now.checked_add(self.stop_timeout).unwrap_or(now) };
        }
        // What is frozen or stopped could not hear it.
        self.freezer.thaw();
    }

    /// What is due without an order.
    fn go_on(&mut self) {
        if self.freezing {
            match self.freezer.go_on() {
                Progress::Under => {}
                Progress::Done => {
                    self.freezing = false;
                    self.say(&Said::Frozen);
                }
                Progress::Failed(reason) => {
                    self.freezing = false;
                    self.freezer.thaw();
                    self.say(&Said::Unfreezable(reason));
                }
            }
        }
        match self.stop {
            Stop::Asked { kill_at } if Instant::now() >= kill_at => {
                self.stop = Stop::Killing { since: Instant::now(), told: false };
                self.pause = SOON;
                self.kill();
            }
            Stop::Killing { since, told } => {
                self.kill();
                if !told && since.elapsed() > STUCK {
                    self.stop = Stop::Killing { since, told: true };
                    let left: Vec<String> = descendants().iter().map(ToString::to_string).collect();
                    self.say(&Said::Warning(format!(
                        "SIGKILL does not end process {}: it hangs in the kernel, or belongs to somebody else",
                        left.join(", ")
                    )));
                }
            }
            Stop::No | Stop::Asked { .. } => {}
        }
    }

    fn kill(&self) {
        self.freezer.kill();
        let _ = signal(&descendants(), Signal::KILL);
    }

    /// Until when nothing is due.
    fn timeout(&mut self) -> Option<Duration> {
        match self.stop {
            _ if self.freezing => Some(self.longer()),
            Stop::No => None,
            Stop::Asked { kill_at } => Some(kill_at.saturating_duration_since(Instant::now())),
            Stop::Killing { .. } => Some(self.longer()),
        }
    }

    fn longer(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LATER);
        pause
    }

    fn say(&mut self, said: &Said) {
        if let Some(orders) = &mut self.orders {
            // Whoever does not listen any more is noticed when the next order is waited for.
            let _ = orders.write_all(said.to_string().as_bytes());
        }
    }
}

/// Waits for a signal and for an order; which of them came.
fn wait(
    signals: &UnixStream,
    orders: Option<&UnixStream>,
    timeout: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut all = vec![PollFd::new(signals, PollFlags::IN)];
    all.extend(orders.map(|orders| PollFd::new(orders, PollFlags::IN)));
    match poll(&mut all, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((true, false)),
        Err(error) => return Err(error.into()),
    }
    let ready = |index: usize| all.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok((ready(0), ready(1)))
}
