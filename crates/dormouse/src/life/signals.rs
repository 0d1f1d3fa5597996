//! Signals that end the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from their registration on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP, from its registration on.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Registers for it: from now on it does not kill.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one; several that come together are one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Signals {
    /// Registers for them: from now on they do not kill.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let came = tokio::select! {
            came = self.terminate.recv() => came,
            came = self.interrupt.recv() => came,
        };
        if came.is_none() {
            // The runtime will deliver no more; then none can end us.
            std::future::pending::<()>().await;
        }
    }
}
