//! A stranger who listens at the address of a sleeping workload: here the test itself, which is none of the processes
//! that dormouse starts.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::write;
use dormouse_tests::wait::{LIMIT, SOON, until};
use dormouse_tests::{Address, Family, Listener};

use super::scene::{MOMENT, Place, Scene};

/// A program that listens at the address of its arguments and echoes, in several ways.
const SERVERS: &str = r#"
import os, socket, subprocess, sys, time
way, address = sys.argv[1:3]
def listen():
    if address.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
    else:
        host, port = address.rsplit(":", 1)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if way == "shares":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, int(port)))
    listener.listen()
    return listener
def listen_at_last():
    while True:
        try:
            return listen()
        except OSError:
            time.sleep(0.001)
def serve(listener):
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            # Not before: dormouse may look with a connection of its own first.
            if way == "once":
                listener.close()
            connection.sendall(data)
        connection.close()
def become_a_daemon():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
if way == "child":
    # The child listens, and its parent waits for it.
    sys.exit(subprocess.call([sys.executable, __file__, "plain", address]))
if way == "daemon":
    become_a_daemon()
    serve(listen())
listener = listen_at_last() if way == "insists" else listen()
if way == "late daemon":
    become_a_daemon()
serve(listener)
"#;

/// Starts the service main, whose program listens in this way at this address.
fn scene(way: &str, to: &str, flags: &[&str]) -> Scene {
    let place = Place::new(0).unwrap();
    let script = place.path("servers.py");
    write(&script, SERVERS).unwrap();
    let launch = Launch::dormouse()
        .args(["run", "--listen=127.0.0.1:0", "--log-level=debug", "--minimum-uptime=0"])
        .args([format!("--to={to}"), format!("--exec=python3 {} '{way}' {to}", script.display())])
        .args(flags);
    Scene::launch(place, launch).unwrap()
}

/// A stranger's listener.
fn stranger() -> Listener {
    Listener::bind(Family::Tcp4).unwrap()
}

/// A port that nobody listens at, and that no other test gets.
fn reserved() -> Listener {
    Listener::bound(Family::Tcp4).unwrap()
}

/// Asserts that nobody has sent a byte to the listener. It may have got connections.
fn hears_nothing(listener: &Listener) {
    while listener.has_pending(Duration::ZERO).unwrap() {
        let received = listener.accept(SOON).unwrap().receive_to_end(SOON).unwrap();
        assert_eq!(String::from_utf8_lossy(&received.bytes), "");
    }
}

#[test]
fn a_stranger_gets_no_client_and_is_named() {
    let listener = stranger();
    let to = listener.address().to_string();
    let scene = scene("plain", &to, &[]);
    let client = scene.client().unwrap();
    client.send(b"my password", SOON).unwrap();
    scene.is_refused(&client).unwrap();
    scene.wait_for_log(&messages::refused_listener_at(&to)).unwrap();
    // The service is configured by flags.
    scene.wait_for_log(messages::ALLOW_LISTENER_BY_FLAG).unwrap();
    hears_nothing(&listener);
    // When the stranger has gone, the next start succeeds.
    listener.close().unwrap();
    let served = until("a client served", LIMIT, || Ok(scene.visit("hello").ok()));
    served.unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
}

#[test]
fn a_stranger_does_not_get_what_expect_sends() {
    let listener = stranger();
    let place = Place::new(0).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{to}\"\nwake.exec = \"sleep 1000\"\n\
         ready = {{ send = \"PASS secret\", expect = \"OK\" }}\n",
        to = listener.address(),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    let client = scene.client().unwrap();
    scene.wait_for_log(&messages::refused_listener_at(&listener.address().to_string())).unwrap();
    drop(client);
    hears_nothing(&listener);
}

#[test]
fn a_workload_that_says_it_is_ready_beside_a_stranger_is_not() {
    let listener = stranger();
    let to = listener.address().to_string();
    for (ready, exec) in [
        ("command:true", "sleep 1000"),
        ("file:/", "sleep 1000"),
        (
            "notify",
            "python3 -c 'import os,socket,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
             s.sendto(b\"READY=1\",os.environ[\"NOTIFY_SOCKET\"]); time.sleep(1000)'",
        ),
    ] {
        let launch = Launch::dormouse().args(["run", "--listen=127.0.0.1:0", "--log-level=debug"]).args([
            format!("--to={to}"),
            format!("--exec={exec}"),
            format!("--ready={ready}"),
        ]);
        let scene = Scene::launch(Place::new(0).unwrap(), launch).unwrap();
        let client = scene.client().unwrap();
        client.send(b"my password", SOON).unwrap();
        scene.wait_for_log(&messages::refused_listener_at(&to)).unwrap();
        scene.expect(!client.is_readable_within(MOMENT).unwrap(), "the client was answered");
        scene.expect(scene.count_in_log(messages::READY) == 0, "the workload was ready");
    }
    hears_nothing(&listener);
}

#[test]
fn a_stranger_who_shares_the_port_gets_no_client() {
    let place = Place::new(0).unwrap();
    let script = place.path("shares.py");
    write(&script, SERVERS).unwrap();
    // A program of the same user that the service does not start.
    let port = reserved();
    let to = port.address().to_string();
    let mut other = std::process::Command::new("python3");
    let mut other = other.arg(&script).args(["shares", &to]).spawn().unwrap();
    let Address::Tcp(address) = port_address(&to) else { panic!("{to}") };
    until("the other program", LIMIT, || Ok(std::net::TcpStream::connect(address).ok())).unwrap();
    let scene = scene("shares", &to, &[]);
    let client = scene.client().unwrap();
    client.send(b"my password", SOON).unwrap();
    let named = scene.wait_for_log(&messages::refused_listener(&to, other.id()));
    let answered = client.is_readable_within(MOMENT);
    other.kill().unwrap();
    other.wait().unwrap();
    named.unwrap();
    scene.expect(!answered.unwrap(), "the client was answered");
    // The service's own program still listens.
    scene.receives(&client, "my password").unwrap();
}

fn port_address(text: &str) -> Address {
    Address::Tcp(text.parse().unwrap())
}

/// The program has closed its listener and still runs. A client is held, and then a stranger listens.
#[test]
fn a_stranger_after_the_listener_of_a_running_program_gets_no_held_client() {
    let port = reserved();
    let to = port.address().to_string();
    let scene = scene("once", &to, &[]);
    let first = scene.client().unwrap();
    scene.echo(&first, "hello").unwrap();
    // The listener is gone.
    let held = scene.client().unwrap();
    held.send(b"my password", SOON).unwrap();
    scene.expect(!held.is_readable_within(MOMENT).unwrap(), "the client was answered");
    port.listen(16).unwrap();
    scene.is_refused(&held).unwrap();
    scene.wait_for_log(&messages::refused_listener_at(&to)).unwrap();
    hears_nothing(&port);
}

/// A stranger who takes the address whenever it is free, for a moment each time.
#[test]
fn a_stranger_who_comes_and_goes_hears_nothing() {
    const STARTS: usize = if cfg!(feature = "system") { 50 } else { 5 };
    /// The stranger may miss all connections of one start.
    const MOST_STARTS: usize = 500;
    let port = reserved();
    let to = port.address().to_string();
    let (heard, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let Ok(listener) = TcpListener::bind(&to) else { continue };
                listener.set_nonblocking(true).unwrap();
                let until = Instant::now() + Duration::from_millis(20);
                let mut connections = Vec::new();
                while Instant::now() < until {
                    connections.extend(listener.accept().ok().map(|(connection, _)| connection));
                }
                drop(listener);
                accepted.fetch_add(connections.len(), Ordering::Relaxed);
                for mut connection in connections {
                    // What answers like the server, and has gone before anybody looks.
                    let _ = connection.write_all(b"stolen");
                    let _ = connection.set_read_timeout(Some(Duration::from_millis(1)));
                    let mut bytes = [0; 64];
                    if let Ok(count @ 1..) = connection.read(&mut bytes) {
                        heard.lock().unwrap().extend_from_slice(&bytes[..count]);
                    }
                }
            }
        });
        let outcome = std::panic::catch_unwind(|| {
            let scene = scene("insists", &to, &["--idle=1ms"]);
            for round in 1..=MOST_STARTS {
                scene.visit("my password").unwrap();
                scene.wait_for_log_times(&messages::state_to("stopped"), round).unwrap();
                if round >= STARTS && accepted.load(Ordering::Relaxed) > 0 {
                    break;
                }
            }
        });
        over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(String::from_utf8_lossy(&heard.into_inner().unwrap()), "");
    assert!(accepted.into_inner() > 0, "the stranger was never there");
}

#[test]
fn a_stranger_at_a_unix_socket_gets_no_client() {
    let listener = Listener::bind(Family::Unix).unwrap();
    let to = listener.address().to_string();
    let scene = scene("plain", &to, &[]);
    let client = scene.client().unwrap();
    client.send(b"my password", SOON).unwrap();
    scene.is_refused(&client).unwrap();
    scene.wait_for_log(&messages::refused_listener_at(&to)).unwrap();
    hears_nothing(&listener);
}

#[test]
fn programs_listen_in_children_and_daemons() {
    for way in ["plain", "child", "daemon", "late daemon", "once"] {
        let port = reserved();
        let to = port.address().to_string();
        let scene = scene(way, &to, &[]);
        scene.visit("hello").unwrap();
        scene.expect(scene.count_in_log(messages::REFUSED_LISTENER) == 0, way);
    }
}

#[test]
fn a_daemon_that_another_program_runs_may_listen_if_it_is_allowed() {
    let listener = stranger();
    let to = listener.address().to_string();
    let launch = Launch::dormouse()
        .args(["run", "--listen=127.0.0.1:0", "--exec=sleep 1000", "--foreign-listener=allow"])
        .arg(format!("--to={to}"));
    let scene = Scene::launch(Place::new(0).unwrap(), launch).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    let server = listener.accept(LIMIT).unwrap();
    assert_eq!(server.receive(5, LIMIT).unwrap(), b"hello");
}

#[test]
fn a_start_by_commands_is_not_judged() {
    let listener = stranger();
    let launch = Launch::dormouse()
        .args(["run", "--listen=127.0.0.1:0", "--start-command=true"])
        .arg(format!("--to={}", listener.address()));
    let scene = Scene::launch(Place::new(0).unwrap(), launch).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    assert_eq!(listener.accept(LIMIT).unwrap().receive(5, LIMIT).unwrap(), b"hello");
}
