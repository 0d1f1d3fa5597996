//! The loop of the spawner: one thread, which waits for requests and for the ends of its children. Long questions have a
//! thread each.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::Builder;

use dormouse_sys::fd_limit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Pid;

use super::children::{Children, Started};
use super::policy::{Ask, Policy, Request, Start};
use crate::permissions::Change;
use crate::process::handled_signals;
use crate::spawner::{Descriptors, Question, Received, Report, Startable, read_request, receive};

/// The largest number of questions at a time that need a thread. Further ones are refused.
const MAX_THREADS: usize = 64;

/// Serves until dormouse has ended.
pub(super) fn serve() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // Standard input of a terminal is no socket.
    rustix::net::getsockname(&socket)?;
    if let Ok(name) = CString::new("spawner") {
        let _ = rustix::thread::set_name(&name);
    }
    // Each child needs a descriptor. Programs get the former limit.
    fd_limit::raise(u64::MAX);
    let signals = handled_signals()?;
    let Received::Request(descriptors) = receive(socket.as_fd())? else { return Ok(()) };
    let list = descriptors.first().and_then(read_request).ok_or(io::ErrorKind::InvalidData)?;
    let mut spawner = Spawner {
        policy: Policy::parse(&list)?,
        children: Children::default(),
        // Each thread holds a clone.
        threads: Arc::new(()),
    };
    loop {
        let Happened { requested, signalled, ready } = wait(&socket, &signals, &spawner.children)?;
        if signalled {
            drain(&signals);
            spawner.children.report_ends();
        }
        spawner.children.obey(&ready);
        spawner.children.reap();
        if requested {
            match receive(socket.as_fd()) {
                Ok(Received::Request(descriptors)) => spawner.handle(descriptors),
                Ok(Received::End) => {
                    spawner.policy.tidy_up();
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn drain(mut signals: &UnixStream) {
    let mut bytes = [0; 64];
    while matches!(io::Read::read(&mut signals, &mut bytes), Ok(1..)) {}
}

/// What has happened.
struct Happened {
    /// There is a request, or dormouse has ended.
    requested: bool,
    signalled: bool,
    /// Dormouse has written to the sockets of these children, or closed them.
    ready: Vec<Pid>,
}

fn wait(socket: &OwnedFd, signals: &UnixStream, children: &Children) -> io::Result<Happened> {
    let mut fds = vec![PollFd::new(socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
    let mut pids = Vec::new();
    for (pid, socket) in children.sockets() {
        pids.push(pid);
        fds.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
    }
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
    let (requested, signalled) = (happened.next() == Some(true), happened.next() == Some(true));
    let ready =
        pids.into_iter().zip(happened).filter_map(|(pid, happened)| happened.then_some(pid)).collect();
    Ok(Happened { requested, signalled, ready })
}

struct Spawner {
    policy: Policy,
    children: Children,
    threads: Arc<()>,
}

impl Spawner {
    /// Carries out a request. One that cannot be read is dropped: dormouse sees its socket closed.
    fn handle(&mut self, descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        let (Some(request), Some(reports)) = (descriptors.next(), descriptors.next()) else { return };
        let reports = UnixStream::from(reports);
        let request = read_request(&request).and_then(|text| serde_json::from_slice(&text).ok());
        // A dormouse that does not read must not stop the spawner.
        if reports.set_nonblocking(true).is_err() {
            return;
        }
        match request {
            Some(Request::Start(start)) => {
                let Some(output) = descriptors.next() else { return };
                let descriptors = Descriptors { output, input: descriptors.next() };
                self.start(&start, descriptors, reports);
            }
            Some(Request::Ask(ask)) => self.answer(ask, reports),
            Some(Request::Change(change)) => {
                let Some(file) = descriptors.next() else { return };
                self.change(change, &file, reports);
            }
            None => {}
        }
    }

    fn start(&mut self, start: &Start, descriptors: Descriptors, mut reports: UnixStream) {
        if !self.policy.allows(start) {
            let _ = write!(reports, "{}", Report::Refused);
            return;
        }
        let (mut command, descriptors, run_id) = match start {
            Start::Guard(guard) => (guard.command(), descriptors, Some(guard.run_id().to_owned())),
            // What a command reads must not come from dormouse.
            Start::Command(command) => (command.command(), Descriptors { input: None, ..descriptors }, None),
        };
        let spawned = descriptors.apply_to(&mut command).and_then(|()| command.spawn());
        match spawned {
            Ok(child) => {
                let Some(mut child) = Started::new(child, run_id, reports) else { return };
                child.report_start();
                self.children.add(child);
            }
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
                let _ = write!(reports, "{}", Report::Failed(errno));
            }
        }
    }

    fn change(&self, change: Change, file: &OwnedFd, mut reports: UnixStream) {
        if !self.policy.allows_change(change, file) {
            return refuse(reports);
        }
        match change.carry_out(file.as_fd()) {
            Ok(()) => reply(&(), reports),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
                let _ = write!(reports, "{}", Report::Failed(errno));
            }
        }
    }

    fn answer(&self, ask: Ask, reports: UnixStream) {
        match ask {
            Ask::Evident(question) => self.answer_to(question, reports),
            Ask::Owner(question) => self.answer_to(question, reports),
            Ask::Listener(question) => self.answer_to(question, reports),
            Ask::Sender(question) => self.answer_to(question, reports),
            Ask::Group(question) => self.answer_to(question, reports),
            // Only what is left of a run of this spawner is killed.
            Ask::Sweep(sweep)
                if self.children.iter().any(|child| {
                    child.run_id().is_some_and(|run_id| sweep.is_about(child.pid(), run_id))
                }) =>
            {
                self.answer_to(sweep, reports);
            }
            Ask::Sweep(_) => refuse(reports),
        }
    }

    fn answer_to<Q: Question>(&self, question: Q, reports: UnixStream)
    where
        Q::Answer: serde::Serialize,
    {
        if !Q::IS_LONG {
            reply(&question.answer(), reports);
            return;
        }
        if Arc::strong_count(&self.threads) > MAX_THREADS {
            return refuse(reports);
        }
        let thread = Arc::clone(&self.threads);
        // Without a thread the socket is closed, and dormouse learns that there is no answer.
        let _ = Builder::new().name(Q::KIND.to_owned()).spawn(move || {
            reply(&question.answer(), reports);
            drop(thread);
        });
    }
}

fn reply(answer: &impl serde::Serialize, mut reports: UnixStream) {
    if let Ok(text) = serde_json::to_string(answer) {
        let _ = write!(reports, "{}", Report::Answer(text));
    }
}

fn refuse(mut reports: UnixStream) {
    let _ = write!(reports, "{}", Report::Refused);
}
