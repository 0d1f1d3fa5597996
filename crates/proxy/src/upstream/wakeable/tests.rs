//! Wakeable servers without a driver.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::activation::{Event, LeaseRefusal, Policy, State};
use dormouse_log::{Level, Log};

use super::lease::Waiter;
use super::{HoldLimits, LeaseReply, Sharer, WakeableServer, WokenBy, Workload};

fn server_of(workload: &Arc<Workload>, name: &str) -> Arc<WakeableServer> {
    let hold = HoldLimits { timeout: Duration::from_secs(30), max: 2 };
    WakeableServer::new(name.to_owned(), workload, Arc::default(), hold)
}

fn workload() -> Arc<Workload> {
    Workload::new(Policy::default(), Arc::default(), Log::new(Some(Level::Err)))
}

fn server() -> Arc<WakeableServer> {
    server_of(&workload(), "test")
}

fn held(server: &Arc<WakeableServer>) -> Waiter<'_> {
    let LeaseReply::Held(waiter) = server.request_lease(true) else { panic!("not held") };
    waiter
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_when_its_run_ended_before_the_client_received_it() {
    let server = server();
    let mut waiter = held(&server);
    server.workload.mark_ready(server.port, None);
    server.workload.record_event(Event::Exited { failed: false }, None);
    let (lease, _) = waiter.granted().await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), lease.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_on_a_running_server_is_not_lost() {
    let server = server();
    let mut waiter = held(&server);
    server.workload.record_event(Event::StartFailed, Some("once".to_owned()));
    assert_eq!(waiter.granted().await.unwrap_err(), LeaseRefusal::StartFailed);
    // Another program starts the server.
    server.workload.mark_ready(server.port, None);
    let LeaseReply::Granted(lease) = server.request_lease(true) else { panic!("not granted") };
    let lost = tokio::time::timeout(Duration::from_secs(1), lease.lost());
    assert!(lost.await.is_err());
}

#[tokio::test]
async fn a_lease_that_its_waiter_never_received_is_given_back() {
    let server = server();
    let waiter = held(&server);
    server.workload.mark_ready(server.port, None);
    assert_eq!(server.load(), (1, 0));
    drop(waiter);
    assert_eq!(server.load(), (0, 0));
}

#[tokio::test]
async fn a_server_that_is_ready_before_it_is_marked_foreign_is_not_owned() {
    let server = server();
    let _waiter = held(&server);
    server.workload.mark_ready(server.port, None);
    server.workload.mark_foreign();
    assert!(!server.workload.is_owned());
}

#[tokio::test]
async fn two_servers_of_a_workload_share_its_state_and_count_their_clients_apart() {
    let workload = workload();
    let (game, console) = (server_of(&workload, "game"), server_of(&workload, "rcon"));
    assert_eq!(workload.name(), "game+rcon");
    let mut player = held(&game);
    let _other = held(&game);
    assert!(matches!(game.request_lease(true), LeaseReply::Refused(LeaseRefusal::QueueFull)));
    let mut admin = held(&console);
    let sharer = |name: &str, leases, held| vec![Sharer { name: name.to_owned(), leases, held }];
    assert_eq!((game.sharers(), console.sharers()), (sharer("rcon", 0, 1), sharer("game", 0, 2)));
    assert!(player.has_woken() && !admin.has_woken());
    workload.mark_ready(game.port, None);
    let (session, _) = player.granted().await.unwrap();
    assert!(game.is_up() && !console.is_up(), "each port is ready for itself");
    workload.mark_ready(console.port, None);
    let (other, _) = admin.granted().await.unwrap();
    assert_eq!((console.load(), game.counters.holds.count(), console.counters.holds.count()), ((1, 0), 2, 1));
    drop(session);
    assert_eq!(console.state().0, State::Ready, "the other server's client keeps it in use");
    // The end of the run ends the leases of both.
    workload.record_event(Event::Exited { failed: true }, Some("killed".to_owned()));
    tokio::time::timeout(Duration::from_secs(10), other.lost()).await.unwrap();
    assert_eq!(game.reason(), console.reason());
}

#[tokio::test]
async fn a_workload_is_drained_when_all_of_its_servers_are() {
    let workload = workload();
    let (game, console) = (server_of(&workload, "game"), server_of(&workload, "rcon"));
    game.drain(true);
    assert!(game.snapshot().evictions.is_empty());
    console.drain(true);
    assert!(!game.snapshot().evictions.is_empty());
    assert!(!workload.leave(game.port));
    assert!(workload.leave(console.port));
}

#[tokio::test]
async fn the_client_that_woke_a_workload_is_known_to_all_of_its_servers() {
    let workload = workload();
    let game = server_of(&workload, "game");
    let waiter = held(&game);
    workload.set_waking_client(game.port, "the client 192.0.2.1:5");
    assert_eq!(game.woken().unwrap().to_string(), "the client 192.0.2.1:5");
    let console = server_of(&workload, "rcon");
    workload.set_waking_client(console.port, "the client 192.0.2.1:6");
    assert_eq!(game.woken().unwrap().to_string(), "the client 192.0.2.1:6 of rcon");
    drop(waiter);
    workload.record_event(Event::StartFailed, None);
    workload.reset_backoff();
    game.wake(WokenBy::Administrator);
    workload.set_waking_client(game.port, "nobody");
    assert_eq!(console.woken().unwrap().to_string(), "an administrator");
}
