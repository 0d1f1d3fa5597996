//! Servers that the DNS finds: which server has which slot of the pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::address::Target;
use dormouse_core::dns::{Server, SlotChange, Slots, Source};
use dormouse_core::plural::counted;
use dormouse_core::pool::SlotState;
use dormouse_dns::{Resolvers, Servers, follow};
use dormouse_log::{Level, Log};
use tokio::sync::watch;
use tokio::time::sleep;

use super::select::Pool;
use dormouse_connect::Route;

/// A name, and the slots of its servers in the pool.
#[derive(Debug)]
pub(super) struct NamedServers {
    source: Source,
    /// The number of the first slot in the pool.
    first: usize,
    /// The address of the server in each slot, for connections.
    slots: Vec<watch::Sender<Option<SocketAddr>>>,
    /// The configuration of all servers of the name.
    config: ServerConfig,
}

/// The time between two looks at whether the last session of a server that leaves has ended.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Returns the route to the server of a slot, and adds the slot to its name. `None`: the server has a fixed address.
pub(super) fn add_slot(
    names: &mut Vec<NamedServers>,
    number: usize,
    server: &ServerConfig,
    timeout: Option<Duration>,
) -> Option<Route> {
    let Target::Slot { source, slot } = &server.to else { return None };
    if *slot == 0 {
        names.push(NamedServers {
            source: source.clone(),
            first: number,
            slots: Vec::new(),
            config: server.clone(),
        });
    }
    let (sender, receiver) = watch::channel(None);
    names.last_mut()?.slots.push(sender);
    Some(Route::to_slot(receiver, timeout))
}

impl NamedServers {
    /// Follows the name for ever, and gives its servers slots of the pool.
    pub(super) fn follow(
        self,
        pool: Arc<Pool>,
        config: &ServiceConfig,
        log: Log,
    ) -> impl Future<Output = ()> + Send + 'static {
        let resolvers =
            if config.dns.is_empty() { Resolvers::System } else { Resolvers::Servers(config.dns.clone()) };
        let label = format!("{}: ", config.name);
        let (servers, following) = follow(self.source.clone(), resolvers, label.clone(), log.clone());
        async move {
            tokio::select! {
                () = following => {}
                () = self.assign_slots(servers, &pool, &label, &log) => {}
            }
        }
    }

    async fn assign_slots(&self, mut servers: Servers, pool: &Arc<Pool>, label: &str, log: &Log) {
        let mut slots = Slots::new(self.slots.len());
        loop {
            let now: Arc<[Server]> = Arc::clone(&servers.borrow_and_update());
            let before = slots.unassigned();
            for change in slots.assign(&now, |slot| pool.sessions(self.first + slot)) {
                self.apply(change, pool);
            }
            if slots.unassigned() > before {
                let (name, count) = (&self.source, self.slots.len());
                let out = counted(slots.unassigned(), "server", "servers");
                log.line(
                    Level::Warning,
                    format_args!("{label}{name} has {out} more than the {count} that can be used at a time."),
                );
            }
            tokio::select! {
                changed = servers.changed() => if changed.is_err() { return },
                () = sleep(DRAIN_INTERVAL), if slots.has_draining() || slots.unassigned() > 0 => {}
            }
        }
    }

    fn apply(&self, change: SlotChange, pool: &Arc<Pool>) {
        match change {
            SlotChange::Assign { slot, server, backup } => {
                self.set_address(slot, Some(server.address));
                // The addresses of a name all have the configured weight. A service record has a weight of its own.
                let weight = match self.source {
                    Source::Addresses { .. } => self.config.weight,
                    Source::Services { .. } => u32::from(server.weight),
                };
                pool.assign(self.first + slot, server.address, weight, backup || self.config.backup);
            }
            SlotChange::Drain(slot) => pool.set_slot_state(self.first + slot, SlotState::Draining),
            SlotChange::Free(slot) => {
                pool.set_slot_state(self.first + slot, SlotState::Empty);
                self.set_address(slot, None);
            }
        }
    }

    fn set_address(&self, slot: usize, address: Option<SocketAddr>) {
        if let Some(sender) = self.slots.get(slot) {
            sender.send_replace(address);
        }
    }
}
