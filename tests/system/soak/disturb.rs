//! What happens to the scene while clients use it.

use std::time::Instant;

use dormouse_tests::Result;
use dormouse_tests::rng::Rng;

use crate::clients::Load;
use crate::scene::{Scene, Service};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// dormouse is killed and started again.
    KillDormouse,
    /// One of the two servers is killed and started again.
    KillServer,
    /// The woken program is killed.
    KillProgram,
    /// The guard of the woken program is killed.
    KillGuard,
    /// The socket file of a listener is removed, and a reload makes it again.
    RemoveSocket,
    /// A reload with other limits.
    Reload,
    /// A reload of a wrong configuration, which is refused.
    WrongReload,
}

/// A disturbance and its time.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) disturbance: Disturbance,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 7] = [
        Self::KillDormouse,
        Self::KillServer,
        Self::KillProgram,
        Self::KillGuard,
        Self::RemoveSocket,
        Self::Reload,
        Self::WrongReload,
    ];

    /// All of them in a random order.
    pub(crate) fn round(rng: &mut Rng) -> Vec<Self> {
        let mut numbered = Self::ALL.map(|disturbance| (rng.number(), disturbance));
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, disturbance)| disturbance).collect()
    }

    /// Whether it may cut a session of this service.
    pub(crate) fn affects(self, service: Service) -> bool {
        match self {
            Self::KillDormouse => true,
            Self::KillServer => matches!(service, Service::Bridge | Service::Path),
            Self::KillProgram | Self::KillGuard => service == Service::Woken,
            Self::RemoveSocket => service == Service::Path,
            Self::Reload | Self::WrongReload => false,
        }
    }

    /// Carries it out and waits until the services that it affects serve again.
    ///
    /// # Errors
    /// When a step fails or a service does not serve in time.
    pub(crate) fn carry_out(self, scene: &mut Scene, load: &Load, rng: &mut Rng) -> Result<Record> {
        // Some sessions are open.
        load.more(Service::Bridge, 1 + rng.below(40))?;
        let began = Instant::now();
        match self {
            Self::KillDormouse => scene.kill_dormouse()?,
            Self::KillServer => scene.kill_server(rng.chance(50))?,
            Self::KillProgram => scene.kill_started(false)?,
            Self::KillGuard => scene.kill_started(true)?,
            Self::RemoveSocket => scene.remove_socket()?,
            Self::Reload => scene.reload()?,
            Self::WrongReload => scene.wrong_reload()?,
        }
        for service in Service::ALL.into_iter().filter(|service| self.affects(*service)) {
            load.serves_again(service).map_err(|failure| scene.with_log(&failure))?;
        }
        Ok(Record { disturbance: self, began, ended: Instant::now() })
    }
}
