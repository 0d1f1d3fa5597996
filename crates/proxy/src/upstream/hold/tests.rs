//! Held clients and real UNIX sockets.

use super::*;
use crate::admission::{Admission, Decision, FdLimits};
use crate::upstream::{Service, UpstreamRequest};
use dormouse_config::limit::{AtLimit, Cap};
use dormouse_connect::{AddressFailed, Endpoint, Route};
use dormouse_core::address::Target;
use dormouse_core::timespan::TimeSpan;
use dormouse_relay::{Pipes, StreamKind};
use rustix::io::Errno;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn service(path: &std::path::Path, wait: TimeSpan) -> Arc<Service> {
    let route = Route::new(&Target::parse(path.as_os_str()).unwrap(), None).unwrap();
    Arc::new(Service::unmanaged(route, wait))
}

fn permit() -> Permit {
    Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256)).admit()
}

#[test]
fn a_held_client_keeps_newcomers_out_only_while_it_lacks_a_descriptor() {
    let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256));
    let permit = admission.admit();
    for (error, decision) in [(Errno::MFILE, Decision::Wait), (Errno::ADDRNOTAVAIL, Decision::Accept)] {
        let address = Endpoint::Inet("[::1]:80".parse().unwrap());
        let error = ConnectError::AllFailed(vec![AddressFailed { address, error }]);
        assert!(error.is_local_limit() && error.is_transient());
        let held = Failure::new(&permit, ConnectAs::Own { client_has_data: false }, error);
        assert_eq!(admission.decide(), decision, "{}", held.error);
    }
    assert_eq!(admission.decide(), Decision::Accept);
}

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("dormouse-hold-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn client() -> (UnixStream, Stream) {
    let (far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (far, Stream::new(near.into(), StreamKind::Unix, false).unwrap())
}

#[tokio::test]
async fn all_held_clients_are_served_when_the_socket_appears() {
    let directory = directory("all");
    let path = directory.join("socket");
    let service = service(&path, TimeSpan::from_secs(20));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let service = Arc::clone(&service);
        waiting.spawn(async move {
            let (_far, mut near) = client();
            let place = permit();
            service
                .acquire(UpstreamRequest::new(&mut near, false, &place, &Pipes::new(0)), Vec::new())
                .await
                .map(drop)
        });
    }
    tokio::task::yield_now().await;
    let _server = UnixListener::bind(&path).unwrap();
    let all = async {
        while let Some(leased) = waiting.join_next().await {
            leased.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn when_the_leader_leaves_the_next_client_tries() {
    let directory = directory("leaves");
    let path = directory.join("socket");
    let service = service(&path, TimeSpan::from_secs(20));
    let (far, mut near) = client();
    let (first, second) = (permit(), permit());
    let gone = tokio::sync::Notify::new();
    let leaving = async {
        let left =
            service.acquire(UpstreamRequest::new(&mut near, false, &first, &Pipes::new(0)), Vec::new()).await;
        gone.notify_one();
        left
    };
    let (_far, mut near) = client();
    let pipes = Pipes::new(0);
    let staying = service.acquire(UpstreamRequest::new(&mut near, false, &second, &pipes), Vec::new());
    let meanwhile = async {
        drop(far);
        gone.notified().await;
        UnixListener::bind(&path).unwrap()
    };
    let all = async { tokio::join!(leaving, staying, meanwhile) };
    let (left, stayed, _server) = tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    assert!(matches!(left, Err(Refusal::ClientLeft)), "{left:?}");
    stayed.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_held_client_is_refused_at_its_deadline() {
    let path = PathBuf::from("/nonexistent/dormouse/socket");
    let service = service(&path, TimeSpan::from_secs(30));
    let (_far, mut near) = client();
    let began = Instant::now();
    let place = permit();
    let refusal = service
        .acquire(UpstreamRequest::new(&mut near, false, &place, &Pipes::new(0)), Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(refusal, Refusal::HoldTimeout(..)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert!(refusal.to_string().contains("No such file"), "{refusal}");
}
