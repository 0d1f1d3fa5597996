//! Signals that stop or reload the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, and SIGUSR1 if it was registered.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    soft_stop: Option<Signal>,
}

/// SIGHUP.
#[derive(Debug)]
pub struct HangupSignals(Signal);

impl HangupSignals {
    /// Registers the signal, which then no longer kills the process.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next signal. Signals that arrive together count as one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Signals {
    /// Registers the signals, which then no longer kill the process.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, soft_stop: None })
    }

    /// Also registers SIGUSR1, `HAProxy`'s signal for a soft stop.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn register_with_soft_stop() -> io::Result<Self> {
        Ok(Self { soft_stop: Some(signal(SignalKind::user_defined1())?), ..Self::register()? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        let came = tokio::select! {
            came = self.terminate.recv() => came,
            came = self.interrupt.recv() => came,
            came = soft_stop(&mut self.soft_stop) => came,
        };
        if came.is_none() {
            // The runtime delivers no more signals.
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
