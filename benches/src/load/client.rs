//! Client processes, as the benchmark starts and controls them.

use std::{collections::BTreeMap, time::Duration};

use rustix::process::Pid;

use super::protocol::{BEGIN, END, READY};
use crate::{
    backend::Mode,
    error::{Error, Result},
    net::Endpoint,
    proc,
    process::Helper,
    spec::{Load, Timing},
    testbed::Setup,
};

/// The time that a client may take beyond its warm-up and window.
const GRACE: Duration = Duration::from_secs(20);

/// A client process.
pub(super) struct Client {
    helper: Helper,
    timeout: Duration,
}

/// The results of a client, and the CPU time of the proxy in the measured time.
pub(super) struct ClientResult {
    values: BTreeMap<String, f64>,
    /// CPU time of the proxy in seconds; `None` without a proxy.
    pub(super) cpu: Option<f64>,
}

impl ClientResult {
    /// Returns a value that the client counted.
    pub(super) fn get(&self, key: &str) -> Result<f64> {
        self.values
            .get(key)
            .copied()
            .ok_or_else(|| Error::Protocol(format!("the client reported no value for {key}")))
    }
}

/// Runs a load from start to end. With `wait_idle`, waits until the proxy is idle before reading its CPU time, so that
/// work after the last session is included.
pub(super) fn run(load: Load, backend: Mode, setup: &Setup<'_>, wait_idle: bool) -> Result<ClientResult> {
    let mut testbed = setup.testbed(backend)?;
    let mut client = Client::start(load, &testbed.proxy.front, setup)?;
    let result = client.wait_until_begin().and_then(|()| {
        let pid = testbed.pid()?;
        let before = pid.map(proc::cpu).transpose()?;
        let values = client.wait_until_end()?;
        let after = pid.map(|pid| cpu_time(pid, wait_idle)).transpose()?;
        let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before).as_secs_f64());
        Ok(ClientResult { values, cpu })
    });
    // If the proxy has ended, its log explains more than the error of the client.
    testbed.check()?;
    result
}

fn cpu_time(pid: Pid, wait_idle: bool) -> Result<Duration> {
    if wait_idle { proc::wait_until_idle(pid, Duration::from_secs(2)) } else { proc::cpu(pid) }
}

impl Client {
    /// Starts a client process.
    pub(super) fn start(load: Load, front: &Endpoint, setup: &Setup<'_>) -> Result<Self> {
        let Timing { warmup, window } = setup.timing;
        let words = [
            "client".to_owned(),
            load.to_string(),
            front.to_string(),
            warmup.as_millis().to_string(),
            window.as_millis().to_string(),
        ];
        Ok(Self { helper: Helper::start(&words, setup.log())?, timeout: warmup + window + GRACE })
    }

    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        self.helper.expect(READY, self.timeout).map(drop)
    }

    pub(super) fn wait_until_begin(&mut self) -> Result<()> {
        self.helper.expect(BEGIN, self.timeout).map(drop)
    }

    /// Waits for the end and returns the results.
    pub(super) fn wait_until_end(&mut self) -> Result<BTreeMap<String, f64>> {
        let words = self.helper.expect(END, self.timeout)?;
        words
            .split_whitespace()
            .map(|word| {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                let value = value
                    .parse()
                    .map_err(|_| Error::Protocol(format!("invalid result from the client: {word}")))?;
                Ok((key.to_owned(), value))
            })
            .collect()
    }

    /// Lets a client that holds its sessions continue.
    pub(super) fn go(&mut self) -> Result<()> {
        self.helper.go()
    }
}
