//! A level-triggered epoll set whose event list is allocated once.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};

pub(crate) use rustix::event::epoll::EventFlags;

use crate::error::{ErrorContext, Result};

/// The most events of one wait.
const BATCH: usize = 256;

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context(|| "create an epoll set".into())?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    pub(crate) fn add(&self, socket: &OwnedFd, token: u64, interest: EventFlags) -> Result<()> {
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), interest)
            .context(|| "add a socket to the epoll set".into())
    }

    pub(crate) fn modify(&self, socket: &OwnedFd, token: u64, interest: EventFlags) -> Result<()> {
        epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), interest)
            .context(|| "add a socket to the epoll set".into())
    }

    /// Fills `ready` with the tokens of ready sockets; with none after the timeout.
    pub(crate) fn wait(&mut self, ready: &mut Vec<u64>, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.and_then(|span| Timespec::try_from(span).ok());
        ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "wait for events".into()),
        }
        ready.extend(self.events.drain(..).map(|event| event.data.u64()));
        Ok(())
    }
}
