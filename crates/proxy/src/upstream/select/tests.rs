//! Sessions and several servers, with real UNIX sockets.

use std::fmt::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::limit::{AtLimit, Cap};
use dormouse_config::{Environment, ProgramUser, read, single};
use dormouse_core::pool::{AdminState, Status};
use dormouse_log::{Level, Log};
use dormouse_relay::{AbortReason, Pipes, Stream, StreamKind};
use tokio::time::{Instant, timeout};

use crate::admission::{Admission, FdLimits, Permit};
use crate::refusal::Refusal;
use crate::upstream::{
    AdminOverrides, Registry, RetryCounts, Routes, Service, UpstreamConn, UpstreamRequest,
};

const SOON: Duration = Duration::from_secs(60);

struct Scene {
    service: Arc<Service>,
    directory: PathBuf,
}

impl Scene {
    /// Returns a service with servers at these names, each with these rules.
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
        let config = read(
            &[single(Path::new("d"), &text)],
            Environment { system_units: false, programs: ProgramUser::Other },
        )
        .result
        .unwrap();
        let (config, log) = (&config.services[0], Log::new(Some(Level::Err)));
        let routes = Routes::prepare(config).unwrap();
        let service =
            Service::new(config, routes, &AdminOverrides::default(), &log, &mut Registry::default());
        Self { service: Arc::new(service), directory }
    }

    fn listen(&self, server: &str) -> UnixListener {
        UnixListener::bind(self.directory.join(server)).unwrap()
    }

    async fn acquire(&self) -> Result<UpstreamConn, Refusal> {
        let (_far, mut near) = client();
        timeout(
            SOON,
            self.service
                .acquire(UpstreamRequest::new(&mut near, false, &permit(), &Pipes::new(0)), Vec::new()),
        )
        .await
        .unwrap()
    }

    /// Starts a client in a task of its own. The client stays until its far end is dropped.
    fn connect(&self) -> (UnixStream, tokio::task::JoinHandle<Result<UpstreamConn, Refusal>>) {
        let (far, mut near) = client();
        let service = Arc::clone(&self.service);
        let task = tokio::spawn(async move {
            let permit = permit();
            service.acquire(UpstreamRequest::new(&mut near, false, &permit, &Pipes::new(0)), Vec::new()).await
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

    fn retry_counts(&self) -> Vec<RetryCounts> {
        self.service.servers().iter().map(|server| server.retry_counts).collect()
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
async fn one_server_without_rules_has_no_pool() {
    assert!(Scene::new("plain", "", &[("a", "")]).service.servers().is_empty());
    assert_eq!(Scene::new("limited", "", &[("a", "maxconn = 1")]).service.servers().len(), 1);
}

#[tokio::test]
async fn a_session_counts_until_its_guard_is_dropped() {
    let scene = Scene::new("counted", "balance = 'leastconn'", &[("a", ""), ("b", "")]);
    let _servers = [scene.listen("a"), scene.listen("b")];
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(scene.acquire().await.unwrap());
    }
    assert_eq!(scene.sessions(), [2, 2]);
    leased.clear();
    assert_eq!(scene.sessions(), [0, 0]);
}

#[tokio::test]
async fn the_queue_is_served_in_order_and_a_client_that_leaves_is_removed_at_once() {
    let scene = Scene::new("queue", "", &[("a", "maxconn = 1")]);
    let _server = scene.listen("a");
    let first = scene.acquire().await.unwrap();
    let (_second, second) = scene.connect();
    scene.queued(1).await;
    let (leaves, left) = scene.connect();
    scene.queued(2).await;
    let (_last, last) = scene.connect();
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
async fn the_queue_has_a_maximum_length_and_a_timeout() {
    let keys = "hold = { timeout = '60s' }\nqueue = { timeout = '5s', max = 1 }";
    let scene = Scene::new("limits", keys, &[("a", "maxconn = 1")]);
    let _server = scene.listen("a");
    let _first = scene.acquire().await.unwrap();
    let began = Instant::now();
    let (_far, waits) = scene.connect();
    scene.queued(1).await;
    assert!(matches!(scene.acquire().await, Err(Refusal::QueueFull)));
    let refusal = waits.await.unwrap().unwrap_err();
    assert!(matches!(refusal, Refusal::QueueTimeout(_)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(scene.service.queued(), 0);
}

#[tokio::test]
async fn roundrobin_tries_another_server_at_once() {
    let scene = Scene::new("passed", "balance = 'roundrobin'", &[("a", ""), ("b", ""), ("c", "")]);
    let _server = scene.listen("c");
    let began = Instant::now();
    for _ in 0..9 {
        scene.acquire().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let counts = scene.retry_counts();
    let redispatches: u64 = counts.iter().map(|one| one.redispatches).sum();
    assert!(redispatches >= 6, "{counts:?}");
    let none = RetryCounts { retries: 0, redispatches: 0, failures: 0 };
    assert_eq!(counts[2], none, "{counts:?}");
    assert!(counts.iter().all(|one| one.retries + one.failures == 0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_retry_goes_to_another_server_and_then_the_client_is_held() {
    let scene = Scene::new("retries", "balance = 'first'\nhold.timeout = '20s'", &[("a", ""), ("b", "")]);
    let began = Instant::now();
    let refusal = scene.acquire().await.unwrap_err();
    assert!(matches!(refusal, Refusal::HoldTimeout(..)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 20);
    let before = scene.retry_counts();
    assert_eq!(before.iter().map(|one| one.failures).sum::<u64>(), 1, "{before:?}");
    let _server = scene.listen("b");
    let began = Instant::now();
    scene.acquire().await.unwrap();
    // Two more attempts of a second each, then the other server.
    assert_eq!(began.elapsed().as_secs(), 2);
    let (before, now) = (before[0], scene.retry_counts()[0]);
    assert_eq!((now.retries - before.retries, now.redispatches - before.redispatches), (2, 1), "{now:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_hold_the_client_is_refused_after_the_retries() {
    let scene = Scene::new(
        "nohold",
        "balance = 'first'\nredispatch = false\nhold.timeout = 0",
        &[("a", ""), ("b", "")],
    );
    let _server = scene.listen("b");
    let began = Instant::now();
    let refusal = scene.acquire().await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unreachable(_)), "{refusal}");
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn a_check_takes_a_server_down_and_up_and_waiting_clients_are_served() {
    let check = "check = { inter = '20ms', fall = 2 }";
    let scene = Scene::new("checked", check, &[("a", "")]);
    scene.until(|| scene.status(0) == Status::Down).await;
    let (_far, waits) = scene.connect();
    scene.queued(1).await;
    let _server = scene.listen("a");
    timeout(SOON, waits).await.unwrap().unwrap().unwrap();
    assert_eq!(scene.status(0), Status::Up);
    let view = scene.service.servers().remove(0);
    assert_eq!((view.downs, view.is_checked, view.last_check.is_some()), (1, true, true));
}

#[tokio::test]
async fn while_all_servers_are_down_a_client_waits_until_its_deadline() {
    let keys = "check = { inter = '20ms', fall = 1 }\nhold.timeout = '400ms'\nqueue.timeout = '50ms'";
    let scene = Scene::new("down", keys, &[("a", "")]);
    scene.until(|| scene.status(0) == Status::Down).await;
    let began = Instant::now();
    let refusal = scene.acquire().await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoServer(_)), "{refusal}");
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_with_a_full_backlog_is_busy_and_not_down() {
    let scene = Scene::new("busy", "check = { inter = '10ms', fall = 1, timeout = '1s' }", &[("a", "")]);
    let listener = scene.listen("a");
    rustix::net::listen(&listener, 0).unwrap();
    let mut clients = Vec::new();
    listener.set_nonblocking(true).unwrap();
    scene.until(|| scene.status(0) == Status::Up && scene.service.servers()[0].last_check.is_some()).await;
    for _ in 0..8 {
        clients.push(scene.connect());
    }
    // One client is in the backlog, the others try. Checks find the backlog full.
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
async fn a_drained_server_and_one_of_weight_0_get_no_sessions() {
    let scene = Scene::new("admin", "balance = 'roundrobin'", &[("a", ""), ("b", "")]);
    let _servers = [scene.listen("a"), scene.listen("b")];
    assert!(scene.service.server("c").is_none());
    scene.service.set_admin(0, AdminState::Drain);
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(scene.acquire().await.unwrap());
    }
    assert_eq!((scene.sessions(), scene.status(0)), (vec![0, 4], Status::Drain));
    let b = scene.service.server("b").unwrap();
    b.set_weight(0);
    let (_far, waits) = scene.connect();
    scene.queued(1).await;
    scene.service.set_admin(0, AdminState::Ready);
    timeout(SOON, waits).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn sessions_end_with_their_server_if_so_configured() {
    let check = "check = { inter = '20ms', fall = 2, on_marked_down = 'shutdown-sessions' }";
    let scene = Scene::new("ended", check, &[("a", "")]);
    let server = scene.listen("a");
    let mut leased = scene.acquire().await.unwrap();
    drop(server);
    let guard = leased.guard.as_mut().unwrap();
    let abort = std::future::poll_fn(|cx| guard.poll_abort(cx));
    assert_eq!(timeout(SOON, abort).await.unwrap(), AbortReason::ServerDown);
}
