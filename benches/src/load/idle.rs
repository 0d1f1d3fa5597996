//! What sessions cost that do nothing.

use std::{thread::sleep, time::Duration};

use rustix::process::Pid;

use super::{Client, Load, Manner};
use crate::{
    backend::Mode,
    error::Result,
    metric::{self, Reading},
    proc::{self, Descriptors, Kernel},
    site::Site,
};

const KIB: f64 = 1024.0;
/// The kernel gives memory back, and counts it, a little later.
const CALM: Duration = Duration::from_millis(300);

/// Memory at rest, and memory, descriptors and pipes for each of `sessions` that had one exchange.
/// Without a proxy only what the kernel holds for the two ends.
#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
pub(crate) fn measure(sessions: usize, site: &Site<'_>) -> Result<Vec<Reading>> {
    let mut stage = site.stage(Mode::Echo)?;
    let mut client =
        Client::start(Load::Hold { manner: Manner::Answered, sessions }, &stage.proxy.front, site)?;
    let pid = stage.pid()?;
    client.until_ready()?;
    let before = Held::by(pid)?;
    client.go()?;
    let opened = client.until_begin().and_then(|()| Held::by(pid));
    stage.check()?;
    let after = opened?;
    client.go()?;
    client.until_end()?;

    let each = |after: f64, before: f64| (after - before) / sessions as f64;
    let kernel = |held: &Held| held.kernel.slab + held.kernel.sockets;
    let mut readings = vec![Reading::new(&metric::IDLE_KERNEL, each(kernel(&after), kernel(&before)) / KIB)];
    if let Some((user, descriptors)) = after.of_proxy {
        let (user_before, descriptors_before) = before.of_proxy.unwrap_or_default();
        let counted = |after: usize, before: usize| each(after as f64, before as f64);
        readings.extend([
            Reading::new(&metric::IDLE_REST, user_before as f64 / KIB),
            Reading::new(&metric::IDLE_USER, each(user as f64, user_before as f64) / KIB),
            Reading::new(&metric::IDLE_DESCRIPTORS, counted(descriptors.all, descriptors_before.all)),
            Reading::new(&metric::IDLE_PIPES, counted(descriptors.pipes, descriptors_before.pipes)),
            Reading::new(&metric::IDLE_IN_PIPES, each(descriptors.in_pipes as f64, 0.0) / KIB),
        ]);
    }
    Ok(readings)
}

/// What is held at one moment.
struct Held {
    kernel: Kernel,
    /// Resident bytes and descriptors.
    of_proxy: Option<(u64, Descriptors)>,
}

impl Held {
    fn by(pid: Option<Pid>) -> Result<Self> {
        sleep(CALM);
        let of_proxy = pid
            .map(|pid| {
                proc::settled(pid, Duration::from_secs(2))?;
                Ok((proc::resident(pid)?, proc::descriptors(pid)?))
            })
            .transpose()?;
        Ok(Self { kernel: proc::kernel()?, of_proxy })
    }
}
