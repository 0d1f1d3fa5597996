//! Connections to servers that do not accept yet, and clients that wait for them.

use std::fs::{self, Permissions};
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::rig::Dormouse;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Address, Ending, Family, Listener, Result, Stream};

use super::scene::expect_received;

struct Front {
    dormouse: Running,
    listener: Listener,
}

impl Front {
    fn start(launch: Launch, family: Family, options: &[&str], to: &str) -> Result<Self> {
        let listener = Listener::bind(family)?;
        let dormouse = launch.pass(&listener).args(options).arg(to).start()?;
        Ok(Self { dormouse, listener })
    }

    fn client(&self) -> Result<Stream> {
        Stream::connect(self.listener.address(), SOON)
    }
}

fn proxy() -> Launch {
    Launch::dormouse().arg("proxy")
}

/// A server whose socket exists but refuses connections from all unprivileged users, including its owner.
fn inaccessible_server() -> Result<(PathBuf, Listener, TempDir)> {
    let directory = TempDir::new()?;
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).doing(|| format!("chmod {}", path.display()))
    };
    allow(directory.path(), 0o755)?;
    let path = directory.join("server");
    let server = Listener::bind_at(&Address::Unix(path.clone()))?;
    allow(&path, 0o000)?;
    Ok((path, server, directory))
}

/// Starts `dormouse run` with a service of these keys and servers, and connects a client.
fn visit(launch: Launch, directory: &TempDir, text: &str) -> Result<(Dormouse, Stream)> {
    let text = format!("[services.main]\nlisten = '127.0.0.1:0'\n{text}");
    let dormouse = Dormouse::with_config(directory, &text, launch)?;
    let client = Stream::connect(&Address::Tcp(dormouse.address()?), SOON)?;
    Ok((dormouse, client))
}

/// A listener with a full backlog: it drops new connections, as a dead host does.
fn full_backlog(family: Family) -> Result<(Listener, Vec<Stream>)> {
    let listener = Listener::with_backlog(family, 0)?;
    let mut waiting = Vec::new();
    while let Ok(client) = Stream::connect(listener.address(), Duration::from_secs(1)) {
        waiting.push(client);
    }
    Ok((listener, waiting))
}

#[test]
fn a_client_waits_for_a_socket_that_becomes_accessible_after_it_listens() {
    let (path, server, _directory) = inaccessible_server().unwrap();
    let front = Front::start(proxy().unprivileged(), Family::Tcp4, &[], &path.display().to_string()).unwrap();
    let client = front.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    wait::until("an inotify watch for the server", SOON, || {
        let all = front.dormouse.descriptors()?;
        Ok(all.iter().any(|what| what.to_string_lossy().contains("inotify")).then_some(()))
    })
    .map_err(|failure| front.dormouse.with_log(&failure))
    .unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    expect_received(&server.accept(SOON).unwrap(), b"hello");
}

#[test]
fn a_server_without_access_is_reported_soon() {
    let (path, _server, _directory) = inaccessible_server().unwrap();
    let options = ["--wait=infinity"];
    let front =
        Front::start(proxy().unprivileged(), Family::Tcp4, &options, &path.display().to_string()).unwrap();
    let clients: Vec<Stream> = (0..3).map(|_| front.client().unwrap()).collect();
    for client in clients {
        assert!(client.ended_within(SOON).unwrap().is_some());
    }
    front.dormouse.stderr().wait_for("Permission denied", SOON).unwrap();
}

#[test]
fn a_server_without_access_gets_only_its_retries() {
    let (path, _server, directory) = inaccessible_server().unwrap();
    let text = format!(
        "retries = 1\nhold.timeout = 'infinity'\n\
         [[services.main.servers]]\nname = 'a'\nto = '{}'\nmaxconn = 3\n",
        path.display()
    );
    let (dormouse, client) = visit(Launch::dormouse().unprivileged(), &directory, &text).unwrap();
    assert!(client.ended_within(SOON).unwrap().is_some(), "{}", dormouse.stderr().text());
}

#[test]
fn the_hold_timeout_does_not_prevent_an_attempt_on_the_next_server() {
    let (dead, _waiting) = full_backlog(Family::Tcp4).unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let text = format!(
        "retries = 0\nbalance = 'first'\nhold.timeout = '200ms'\ntimeout.connect = '2s'\n\
         [[services.main.servers]]\nname = 'a'\nto = '{}'\ncheck = false\n\
         [[services.main.servers]]\nname = 'b'\nto = '{}'\ncheck = false\n",
        dead.address(),
        server.address()
    );
    let (_dormouse, client) = visit(Launch::dormouse(), &TempDir::new().unwrap(), &text).unwrap();
    client.send(b"hello", SOON).unwrap();
    expect_received(&server.accept(SOON).unwrap(), b"hello");
}

#[test]
fn a_lack_of_descriptors_is_reported() {
    let mut dormouse = proxy().nofile(10, 10).args(["--listen=127.0.0.1:0", "127.0.0.1:9"]).start().unwrap();
    let status = dormouse.wait(SOON).unwrap();
    assert_eq!(status.code(), Some(1), "{status}: {}", dormouse.stderr().text());
    dormouse.stderr().wait_for("Too many open files", SOON).unwrap();
}

#[test]
fn a_half_closed_local_client_is_held_and_one_that_left_is_not() {
    let directory = TempDir::new().unwrap();
    let path = directory.join("server");
    let options = ["--log-level=debug"];
    let front = Front::start(proxy(), Family::Unix, &options, &path.display().to_string()).unwrap();
    let client = front.client().unwrap();
    client.finish().unwrap();
    // A later client that has left is detected.
    front.client().unwrap().finish().unwrap();
    front.dormouse.stderr().wait_for(messages::CLIENT_LEFT, SOON).unwrap();
    let server = Listener::bind_at(&Address::Unix(path)).unwrap();
    server.accept(SOON).unwrap().send(b"greeting", SOON).unwrap();
    expect_received(&client, b"greeting");
}

#[test]
fn the_hold_timeout_covers_the_first_attempt_and_a_client_that_leaves_ends_at_once() {
    let (server, _waiting) = full_backlog(Family::Tcp4).unwrap();
    let to = server.address().to_string();
    let options = ["--wait=1s", "--connect-timeout=40s"];
    let front = Front::start(proxy(), Family::Tcp4, &options, &to).unwrap();
    let began = Instant::now();
    let client = front.client().unwrap();
    assert!(client.ended_within(SOON).unwrap().is_some());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let options = ["--wait=infinity", "--connect-timeout=infinity", "--log-level=debug"];
    let front = Front::start(proxy(), Family::Tcp4, &options, &to).unwrap();
    front.client().unwrap().reset().unwrap();
    let left = front.dormouse.stderr().wait_for(messages::CLIENT_LEFT, SOON);
    left.map_err(|failure| front.dormouse.with_log(&failure)).unwrap();
}

#[test]
fn a_dead_address_does_not_delay_a_client_when_another_comes_up() {
    // dormouse tries the loopback addresses of both families in this order. No server listens on the first yet, and
    // the second is dead.
    let (second, _waiting) = full_backlog(Family::Tcp4).unwrap();
    let Address::Tcp(address) = second.address() else { unreachable!("a TCP listener has such an address") };
    let port = address.port();
    let options = ["--wait=infinity", "--connect-timeout=40s"];
    let front = Front::start(proxy(), Family::Tcp4, &options, &format!("*:{port}")).unwrap();
    let client = front.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    wait::until("the accept of the client", SOON, || {
        Ok((!front.listener.has_pending(Duration::ZERO)?).then_some(()))
    })
    .unwrap();
    let began = Instant::now();
    let server = Listener::bind_at(&Address::Tcp((Ipv6Addr::LOCALHOST, port).into())).unwrap();
    expect_received(&server.accept(SOON).unwrap(), b"hello");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn dormouse_continues_without_a_resolver_thread() {
    let launch = proxy().unprivileged().nproc(1);
    let front = Front::start(launch, Family::Tcp4, &["--wait=0"], "localhost:1").unwrap();
    for _ in 0..3 {
        let received = front.client().unwrap().receive_to_end(SOON).unwrap();
        assert!(matches!(received.ending, Ending::Fin | Ending::Reset), "{received:?}");
    }
    front.dormouse.stderr().wait_for(messages::NO_THREAD, SOON).unwrap();
}
