//! The memory and descriptors of idle sessions.

use std::{thread::sleep, time::Duration};

use rustix::process::Pid;

use super::client::Client;
use crate::{
    backend::Mode,
    error::Result,
    metric::{self, Reading},
    proc::{self, Descriptors, KernelMemory},
    spec::{HoldMode, Load},
    testbed::Setup,
};

const KIB: f64 = 1024.0;
/// The kernel frees memory, and counts it, with a delay.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Measures the memory at rest, and the memory, descriptors and pipes per session after one exchange.
/// Without a proxy, measures only the kernel memory of both ends.
#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
pub(crate) fn measure(sessions: usize, setup: &Setup<'_>) -> Result<Vec<Reading>> {
    let mut testbed = setup.testbed(Mode::Echo)?;
    let mut client =
        Client::start(Load::Hold { mode: HoldMode::Answered, sessions }, &testbed.proxy.front, setup)?;
    let pid = testbed.pid()?;
    client.wait_until_ready()?;
    let before = Usage::read(pid)?;
    client.go()?;
    let opened = client.wait_until_begin().and_then(|()| Usage::read(pid));
    testbed.check()?;
    let after = opened?;
    client.go()?;
    client.wait_until_end()?;

    let per_session = |after: f64, before: f64| (after - before) / sessions as f64;
    let kernel = |held: &Usage| held.kernel.slab + held.kernel.sockets;
    let mut readings =
        vec![Reading::new(&metric::IDLE_KERNEL, per_session(kernel(&after), kernel(&before)) / KIB)];
    if let Some((user, descriptors)) = after.proxy {
        let (user_before, descriptors_before) = before.proxy.unwrap_or_default();
        let result = |after: usize, before: usize| per_session(after as f64, before as f64);
        readings.extend([
            Reading::new(&metric::IDLE_REST, user_before as f64 / KIB),
            Reading::new(&metric::IDLE_USER, per_session(user as f64, user_before as f64) / KIB),
            Reading::new(&metric::IDLE_DESCRIPTORS, result(descriptors.all, descriptors_before.all)),
            Reading::new(&metric::IDLE_PIPES, result(descriptors.pipes, descriptors_before.pipes)),
            Reading::new(&metric::IDLE_IN_PIPES, per_session(descriptors.in_pipes as f64, 0.0) / KIB),
        ]);
    }
    Ok(readings)
}

/// The resources in use at one moment.
struct Usage {
    kernel: KernelMemory,
    /// The resident bytes and the descriptors of the proxy.
    proxy: Option<(u64, Descriptors)>,
}

impl Usage {
    fn read(pid: Option<Pid>) -> Result<Self> {
        sleep(SETTLE_TIME);
        let proxy = pid
            .map(|pid| {
                proc::wait_until_idle(pid, Duration::from_secs(2))?;
                Ok((proc::resident(pid)?, proc::descriptors(pid)?))
            })
            .transpose()?;
        Ok(Self { kernel: proc::kernel_memory()?, proxy })
    }
}
