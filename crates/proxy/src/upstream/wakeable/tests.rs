//! A wakeable server without a driver.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::activation::{Event, LeaseRefusal, Policy};
use dormouse_log::{Level, Log};

use super::lease::Waiter;
use super::{LeaseReply, WakeableServer};

fn server() -> Arc<WakeableServer> {
    let (policy, log) = (Policy::default(), Log::new(Some(Level::Err)));
    WakeableServer::new("test".to_owned(), policy, Arc::default(), Arc::default(), log)
}

fn held(server: &Arc<WakeableServer>) -> Waiter<'_> {
    let LeaseReply::Held(waiter) = server.request_lease(true) else { panic!("not held") };
    waiter
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_when_its_run_ended_before_the_client_received_it() {
    let server = server();
    let mut waiter = held(&server);
    server.mark_ready(None);
    server.record_event(Event::Exited { failed: false }, None);
    let (lease, _) = waiter.granted().await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), lease.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_on_a_running_server_is_not_lost() {
    let server = server();
    let mut waiter = held(&server);
    server.record_event(Event::StartFailed, Some("once".to_owned()));
    assert_eq!(waiter.granted().await.unwrap_err(), LeaseRefusal::StartFailed);
    // Another program starts the server.
    server.mark_ready(None);
    let LeaseReply::Granted(lease) = server.request_lease(true) else { panic!("not granted") };
    let lost = tokio::time::timeout(Duration::from_secs(1), lease.lost());
    assert!(lost.await.is_err());
}

#[tokio::test]
async fn a_lease_that_its_waiter_never_received_is_given_back() {
    let server = server();
    let waiter = held(&server);
    server.mark_ready(None);
    assert_eq!(server.load(), (1, 0));
    drop(waiter);
    assert_eq!(server.load(), (0, 0));
}

#[tokio::test]
async fn a_server_that_is_ready_before_it_is_marked_foreign_is_not_owned() {
    let server = server();
    let _waiter = held(&server);
    server.mark_ready(None);
    server.mark_foreign();
    assert!(!server.is_owned());
}
