//! Signals that end the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from their registration on; SIGUSR1, where it was registered for.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    soft_stop: Option<Signal>,
}

/// SIGHUP, from its registration on.
#[derive(Debug)]
pub struct HangupSignals(Signal);

impl HangupSignals {
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
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, soft_stop: None })
    }

    /// The same with SIGUSR1, by which `HAProxy` is told to end softly.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register_with_soft_stop() -> io::Result<Self> {
        Ok(Self { soft_stop: Some(signal(SignalKind::user_defined1())?), ..Self::register()? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let came = tokio::select! {
            came = self.terminate.recv() => came,
            came = self.interrupt.recv() => came,
            came = soft_stop(&mut self.soft_stop) => came,
        };
        if came.is_none() {
            // The runtime will deliver no more; then none can end us.
            std::future::pending::<()>().await;
        }
    }
}

async fn soft_stop(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}
