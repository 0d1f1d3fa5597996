//! Servers by name: who has which slot of the pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::address::Target;
use dormouse_core::dns::{Server, SlotChange, Slots, Source};
use dormouse_dns::{Resolvers, Servers, follow};
use dormouse_log::{Level, Log};
use tokio::sync::watch;
use tokio::time::sleep;

use super::pool::Pool;
use crate::connect::Route;

/// A name, and the slots that its servers have.
#[derive(Debug)]
pub(super) struct Named {
    source: Source,
    /// Of the first slot, in the pool.
    first: usize,
    /// Who has them, for those who connect.
    slots: Vec<watch::Sender<Option<SocketAddr>>>,
    /// What is configured of all of them.
    server: ServerConfig,
}

/// Where somebody leaves, it is looked again so often whether the last session has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The way to a server that has a slot, if it is one; the slot is added to those of its name.
pub(super) fn slot(
    named: &mut Vec<Named>,
    number: usize,
    server: &ServerConfig,
    timeout: Option<Duration>,
) -> Option<Route> {
    let Target::Slot { source, slot } = &server.to else { return None };
    if *slot == 0 {
        named.push(Named {
            source: source.clone(),
            first: number,
            slots: Vec::new(),
            server: server.clone(),
        });
    }
    let (sender, receiver) = watch::channel(None);
    named.last_mut()?.slots.push(sender);
    Some(Route::to_slot(receiver, timeout))
}

impl Named {
    /// Follows the name for as long as it runs.
    pub(super) fn run(
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
                () = self.fill(servers, &pool, &label, &log) => {}
            }
        }
    }

    async fn fill(&self, mut servers: Servers, pool: &Arc<Pool>, label: &str, log: &Log) {
        let mut slots = Slots::new(self.slots.len());
        loop {
            let now: Arc<[Server]> = Arc::clone(&servers.borrow_and_update());
            let before = slots.unassigned();
            for order in slots.assign(&now, |slot| pool.sessions(self.first + slot)) {
                self.carry_out(order, pool);
            }
            if slots.unassigned() > before {
                let (name, out, count) = (&self.source, slots.unassigned(), self.slots.len());
                log.line(
                    Level::Warning,
                    format_args!(
                        "{label}{name} has {out} servers more than the {count} that can serve at a time."
                    ),
                );
            }
            tokio::select! {
                changed = servers.changed() => if changed.is_err() { return },
                () = sleep(LOOK), if slots.has_draining() || slots.unassigned() > 0 => {}
            }
        }
    }

    fn carry_out(&self, order: SlotChange, pool: &Arc<Pool>) {
        match order {
            SlotChange::Assign { slot, server, backup } => {
                self.tell(slot, Some(server.address));
                // Those who asked for a weight of their own get it; it is alike for all addresses of a name.
                let weight = match self.source {
                    Source::Addresses { .. } => self.server.weight,
                    Source::Services { .. } => u32::from(server.weight),
                };
                pool.fill_slot(self.first + slot, server.address, weight, backup || self.server.backup);
            }
            SlotChange::Drain(slot) => pool.drain_slot(self.first + slot),
            SlotChange::Free(slot) => {
                pool.clear_slot(self.first + slot);
                self.tell(slot, None);
            }
        }
    }

    fn tell(&self, slot: usize, address: Option<SocketAddr>) {
        if let Some(place) = self.slots.get(slot) {
            place.send_replace(address);
        }
    }
}
