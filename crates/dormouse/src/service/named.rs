//! Servers by name: who sits on which seat of the pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::address::Target;
use dormouse_core::names::{Order, Seats, Server, Source};
use tokio::sync::watch;
use tokio::time::sleep;

use super::pool::Pool;
use crate::config::model::{ServerConfig, ServiceConfig};
use crate::connect::Route;
use crate::ledger::log::{Level, Log};
use crate::names::{Servers, Whom, follow};

/// A name, and the seats that its servers have.
#[derive(Debug)]
pub(super) struct Named {
    source: Source,
    /// Of the first seat, in the pool.
    first: usize,
    /// Who sits there, for those who connect.
    seats: Vec<watch::Sender<Option<SocketAddr>>>,
    /// What is configured of all of them.
    server: ServerConfig,
}

/// Where somebody leaves, it is looked again so often whether the last session has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The way to a server that has a seat, if it is one; the seat is added to those of its name.
pub(super) fn seat(
    named: &mut Vec<Named>,
    number: usize,
    server: &ServerConfig,
    timeout: Option<Duration>,
) -> Option<Route> {
    let Target::Seat { source, seat } = &server.to else { return None };
    if *seat == 0 {
        named.push(Named {
            source: source.clone(),
            first: number,
            seats: Vec::new(),
            server: server.clone(),
        });
    }
    let (sender, receiver) = watch::channel(None);
    named.last_mut()?.seats.push(sender);
    Some(Route::to_seat(receiver, timeout))
}

impl Named {
    /// Follows the name for as long as it runs.
    pub(super) fn run(
        self,
        pool: Arc<Pool>,
        config: &ServiceConfig,
        log: Log,
    ) -> impl Future<Output = ()> + Send + 'static {
        let whom = if config.dns.is_empty() { Whom::System } else { Whom::These(config.dns.clone()) };
        let label = format!("{}: ", config.name);
        let (servers, following) = follow(self.source.clone(), whom, label.clone(), log.clone());
        async move {
            tokio::select! {
                () = following => {}
                () = self.sit(servers, &pool, &label, &log) => {}
            }
        }
    }

    async fn sit(&self, mut servers: Servers, pool: &Arc<Pool>, label: &str, log: &Log) {
        let mut seats = Seats::new(self.seats.len());
        loop {
            let now: Arc<[Server]> = Arc::clone(&servers.borrow_and_update());
            let before = seats.left_out();
            for order in seats.take(&now, |seat| pool.sessions(self.first + seat)) {
                self.carry_out(order, pool);
            }
            if seats.left_out() > before {
                let (name, out, count) = (&self.source, seats.left_out(), self.seats.len());
                log.line(
                    Level::Warning,
                    format_args!(
                        "{label}{name} has {out} servers more than the {count} that can serve at a time."
                    ),
                );
            }
            tokio::select! {
                changed = servers.changed() => if changed.is_err() { return },
                () = sleep(LOOK), if seats.anybody_leaves() || seats.left_out() > 0 => {}
            }
        }
    }

    fn carry_out(&self, order: Order, pool: &Arc<Pool>) {
        match order {
            Order::Seat { seat, server, backup } => {
                self.tell(seat, Some(server.address));
                // Those who asked for a weight of their own get it; it is alike for all addresses of a name.
                let weight = match self.source {
                    Source::Addresses { .. } => self.server.weight,
                    Source::Services { .. } => u32::from(server.weight),
                };
                pool.sit_down(self.first + seat, server.address, weight, backup || self.server.backup);
            }
            Order::Drain(seat) => pool.leave(self.first + seat),
            Order::Clear(seat) => {
                pool.stand_up(self.first + seat);
                self.tell(seat, None);
            }
        }
    }

    fn tell(&self, seat: usize, address: Option<SocketAddr>) {
        if let Some(place) = self.seats.get(seat) {
            place.send_replace(address);
        }
    }
}
