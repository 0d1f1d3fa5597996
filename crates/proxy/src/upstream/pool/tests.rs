//! Sessions and several servers, with real sockets.

use std::fmt::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::limit::{AtLimit, Cap};
use dormouse_config::{Environment, read, single};
use dormouse_core::pool::{AdminState, Status};
use dormouse_log::{Level, Log};
use dormouse_relay::{AbortReason, Pipes, Stream, StreamKind};
use tokio::time::{Instant, timeout};

use crate::admission::{Admission, FdLimits, Permit};
use crate::refusal::Refusal;
use crate::upstream::{Dormitory, Routes, Service, Tally, UpstreamConn, UpstreamRequest, Words};

const SOON: Duration = Duration::from_secs(60);

struct Scene {
    service: Arc<Service>,
    directory: PathBuf,
}

impl Scene {
    /// A service with servers at these names, each with these rules.
    fn new(name: &str, keys: &str, servers: &[(&str, &str)]) -> Self {
        let directory = std::env::temp_dir().join(format!("dormouse-pool-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut text = format!("[services.main]\nlisten = '@x'\n{keys}\n");
        for (server, rules) in servers {
            let path = directory.join(server);
            writeln!(
                text,
                "[[services.main.servers]]\nname = '{server}'\nto = '{}'\n{rules}",
                path.display()
            )
            .unwrap();
        }
        let config = read(&[single(Path::new("d"), &text)], Environment { root: false }).result.unwrap();
        let (config, log) = (&config.services[0], Log::new(Some(Level::Err)));
        let routes = Routes::of(config).unwrap();
        let service = Service::new(config, routes, &Words::default(), &log, &mut Dormitory::default());
        Self { service: Arc::new(service), directory }
    }

    fn listen(&self, server: &str) -> UnixListener {
        UnixListener::bind(self.directory.join(server)).unwrap()
    }

    async fn lease(&self) -> Result<UpstreamConn, Refusal> {
        let (_far, mut near) = client();
        timeout(
            SOON,
            self.service.lease(UpstreamRequest::new(&mut near, false, &permit(), &Pipes::new(0)), Vec::new()),
        )
        .await
        .unwrap()
    }

    /// A client in a task of its own; its far end decides how long it stays.
    fn come(&self) -> (UnixStream, tokio::task::JoinHandle<Result<UpstreamConn, Refusal>>) {
        let (far, mut near) = client();
        let service = Arc::clone(&self.service);
        let task = tokio::spawn(async move {
            let permit = permit();
            service.lease(UpstreamRequest::new(&mut near, false, &permit, &Pipes::new(0)), Vec::new()).await
        });
        (far, task)
    }

    async fn queued(&self, count: usize) {
        self.until(|| self.service.queued() == count).await;
    }

    async fn until(&self, mut holds: impl FnMut() -> bool) {
        let wait = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, wait).await.unwrap();
    }

    fn sessions(&self) -> Vec<u32> {
        self.service.servers().iter().map(|server| server.sessions).collect()
    }

    fn tallies(&self) -> Vec<Tally> {
        self.service.servers().iter().map(|server| server.tally).collect()
    }

    fn status(&self, server: usize) -> Status {
        self.service.servers()[server].status
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn client() -> (UnixStream, Stream) {
    let (far, near) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (far, Stream::new(near.into(), StreamKind::Unix, false).unwrap())
}

fn permit() -> Permit {
    Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256)).admit()
}

#[tokio::test]
async fn one_plain_server_has_no_pool() {
    assert!(Scene::new("plain", "", &[("a", "")]).service.servers().is_empty());
    assert_eq!(Scene::new("limited", "", &[("a", "maxconn = 1")]).service.servers().len(), 1);
}

#[tokio::test]
async fn sessions_are_counted_from_the_place_to_its_end() {
    let scene = Scene::new("counted", "balance = 'leastconn'", &[("a", ""), ("b", "")]);
    let _servers = [scene.listen("a"), scene.listen("b")];
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(scene.lease().await.unwrap());
    }
    assert_eq!(scene.sessions(), [2, 2]);
    leased.clear();
    assert_eq!(scene.sessions(), [0, 0]);
}

#[tokio::test]
async fn the_queue_is_served_in_turn_and_whoever_leaves_it_is_gone_at_once() {
    let scene = Scene::new("queue", "", &[("a", "maxconn = 1")]);
    let _server = scene.listen("a");
    let first = scene.lease().await.unwrap();
    let (_second, second) = scene.come();
    scene.queued(1).await;
    let (leaves, left) = scene.come();
    scene.queued(2).await;
    let (_last, last) = scene.come();
    scene.queued(3).await;
    drop(leaves);
    assert!(matches!(timeout(SOON, left).await.unwrap().unwrap(), Err(Refusal::ClientLeft)));
    assert_eq!(scene.service.queued(), 2);
    drop(first);
    let second = timeout(SOON, second).await.unwrap().unwrap().unwrap();
    assert_eq!((scene.sessions(), scene.service.queued()), (vec![1], 1));
    drop(second);
    timeout(SOON, last).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_a_length_and_an_end() {
    let keys = "hold = { timeout = '60s' }\nqueue = { timeout = '5s', max = 1 }";
    let scene = Scene::new("limits", keys, &[("a", "maxconn = 1")]);
    let _server = scene.listen("a");
    let _first = scene.lease().await.unwrap();
    let began = Instant::now();
    let (_far, waits) = scene.come();
    scene.queued(1).await;
    assert!(matches!(scene.lease().await, Err(Refusal::QueueFull)));
    let refusal = waits.await.unwrap().unwrap_err();
    assert!(matches!(refusal, Refusal::QueueTimeout(_)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(scene.service.queued(), 0);
}

#[tokio::test]
async fn a_server_that_refuses_is_passed_over_at_once_where_sessions_go_in_turn() {
    let scene = Scene::new("passed", "balance = 'roundrobin'", &[("a", ""), ("b", ""), ("c", "")]);
    let _server = scene.listen("c");
    let began = Instant::now();
    for _ in 0..9 {
        scene.lease().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let tallies = scene.tallies();
    let moved_on: u64 = tallies.iter().map(|tally| tally.redispatches).sum();
    assert!(moved_on >= 6, "{tallies:?}");
    let none = Tally { retries: 0, redispatches: 0, failures: 0 };
    assert_eq!(tallies[2], none, "{tallies:?}");
    assert!(tallies.iter().all(|tally| tally.retries + tally.failures == 0), "{tallies:?}");
}

#[tokio::test(start_paused = true)]
async fn another_server_gets_the_last_retry_and_after_all_retries_the_client_is_held() {
    let scene = Scene::new("retries", "balance = 'first'\nhold.timeout = '20s'", &[("a", ""), ("b", "")]);
    let began = Instant::now();
    let refusal = scene.lease().await.unwrap_err();
    assert!(matches!(refusal, Refusal::HoldTimeout(..)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 20);
    let before = scene.tallies();
    assert_eq!(before.iter().map(|tally| tally.failures).sum::<u64>(), 1, "{before:?}");
    let _server = scene.listen("b");
    let began = Instant::now();
    scene.lease().await.unwrap();
    // Two more tries of a second each, then the other.
    assert_eq!(began.elapsed().as_secs(), 2);
    let (before, now) = (before[0], scene.tallies()[0]);
    assert_eq!((now.retries - before.retries, now.redispatches - before.redispatches), (2, 1), "{now:?}");
}

#[tokio::test(start_paused = true)]
async fn without_hold_only_the_retries_are_left() {
    let scene = Scene::new(
        "nohold",
        "balance = 'first'\nredispatch = false\nhold.timeout = 0",
        &[("a", ""), ("b", "")],
    );
    let _server = scene.listen("b");
    let began = Instant::now();
    let refusal = scene.lease().await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unreachable(_)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn a_check_takes_a_server_down_and_up_and_whoever_waits_is_served() {
    let check = "check = { inter = '20ms', fall = 2 }";
    let scene = Scene::new("checked", check, &[("a", "")]);
    scene.until(|| scene.status(0) == Status::Down).await;
    let (_far, waits) = scene.come();
    scene.queued(1).await;
    let _server = scene.listen("a");
    timeout(SOON, waits).await.unwrap().unwrap().unwrap();
    assert_eq!(scene.status(0), Status::Up);
    let view = scene.service.servers().remove(0);
    assert_eq!((view.downs, view.is_checked, view.last_check.is_some()), (1, true, true));
}

#[tokio::test]
async fn while_all_are_down_a_client_waits_as_long_as_it_may() {
    let keys = "check = { inter = '20ms', fall = 1 }\nhold.timeout = '400ms'\nqueue.timeout = '50ms'";
    let scene = Scene::new("down", keys, &[("a", "")]);
    scene.until(|| scene.status(0) == Status::Down).await;
    let began = Instant::now();
    let refusal = scene.lease().await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoServer(_)), "{refusal}");
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_full_backlog_is_busy_and_not_down() {
    let scene = Scene::new("busy", "check = { inter = '10ms', fall = 1, timeout = '1s' }", &[("a", "")]);
    let listener = scene.listen("a");
    rustix::net::listen(&listener, 0).unwrap();
    let mut clients = Vec::new();
    listener.set_nonblocking(true).unwrap();
    scene.until(|| scene.status(0) == Status::Up && scene.service.servers()[0].last_check.is_some()).await;
    for _ in 0..8 {
        clients.push(scene.come());
    }
    // One is in the backlog, the others try; checks find it full.
    let busy = |text: &str| text.contains("backlog");
    scene
        .until(|| scene.service.servers()[0].last_check.as_ref().is_some_and(|check| busy(&check.text)))
        .await;
    assert_eq!(scene.status(0), Status::Up);
    let accepting = tokio::net::UnixListener::from_std(listener).unwrap();
    let accept = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok(client) = accepting.accept().await {
            kept.push(client);
        }
    });
    for (_far, client) in clients {
        timeout(SOON, client).await.unwrap().unwrap().unwrap();
    }
    accept.abort();
}

#[tokio::test]
async fn an_administrator_takes_servers_out() {
    let scene = Scene::new("admin", "balance = 'roundrobin'", &[("a", ""), ("b", "")]);
    let _servers = [scene.listen("a"), scene.listen("b")];
    assert!(scene.service.server("c").is_none());
    scene.service.set_admin(0, AdminState::Drain);
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(scene.lease().await.unwrap());
    }
    assert_eq!((scene.sessions(), scene.status(0)), (vec![0, 4], Status::Drain));
    let b = scene.service.server("b").unwrap();
    b.set_weight(0);
    let (_far, waits) = scene.come();
    scene.queued(1).await;
    scene.service.set_admin(0, AdminState::Ready);
    timeout(SOON, waits).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn sessions_end_with_their_server_where_that_was_asked_for() {
    let check = "check = { inter = '20ms', fall = 2, on_marked_down = 'shutdown-sessions' }";
    let scene = Scene::new("ended", check, &[("a", "")]);
    let server = scene.listen("a");
    let mut leased = scene.lease().await.unwrap();
    drop(server);
    let guard = leased.guard.as_mut().unwrap();
    let cut = std::future::poll_fn(|cx| guard.poll_cut(cx));
    assert_eq!(timeout(SOON, cut).await.unwrap(), AbortReason::ServerDown);
}
