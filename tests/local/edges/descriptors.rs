//! Descriptors that clients pass: their close waits for nobody, and they take no descriptors from other sessions.

use std::fs;
use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, configured};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{SOON, until};
use dormouse_tests::{Address, Family, Listener, Result, Stream, ask, messages, scaled};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;

/// The time that the close of a lingering socket takes in these tests, far longer than they wait for anything.
const LINGER: Duration = Duration::from_secs(600);

/// The most descriptors of one message.
const MAX_FDS: usize = 253;

/// A socket whose close waits for its peer, which reads nothing.
struct Lingering {
    socket: OwnedFd,
    peer: TcpStream,
}

impl Lingering {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_socket_linger(&socket, Some(LINGER)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let peer = listener.accept().unwrap().0;
        let chunk = vec![0; 1 << 16];
        loop {
            match socket.write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        Self { socket: socket.into(), peer }
    }

    /// Sends the socket to the peer of `to`, and gives it up. Returns whether the kernel takes it: it refuses descriptors
    /// where dormouse does not expect them (Linux 6.16).
    fn send(self, to: &UnixStream) -> (bool, TcpStream) {
        let Self { socket, peer } = self;
        let sent = send_descriptors(to, b"x", &socket, 1);
        if sent.is_err() {
            // This thread must not wait for it either.
            set_socket_linger(&socket, None).unwrap();
        }
        match sent {
            Ok(count) => assert_eq!(count, 1),
            Err(error) => assert_eq!(error, Errno::PERM),
        }
        (sent.is_ok(), peer)
    }
}

/// Sends bytes with `count` copies of a descriptor.
fn send_descriptors(to: &UnixStream, bytes: &[u8], fd: &OwnedFd, count: usize) -> rustix::io::Result<usize> {
    let fds = vec![fd.as_fd(); count];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

/// A dormouse with a service that is attacked, at the socket `front`, and another one.
struct Scene {
    dormouse: Dormouse,
    dir: TempDir,
    /// The server of the other service.
    other: Listener,
}

impl Scene {
    /// `top` is above the services; `keys` are those of the service that is attacked.
    fn new(top: &str, keys: &str) -> Result<Self> {
        Self::with(top, keys, "DIR/front", Launch::dormouse())
    }

    fn with(top: &str, keys: &str, listen: &str, launch: Launch) -> Result<Self> {
        let (dir, other) = (TempDir::new()?, Listener::bind(Family::Tcp4)?);
        let to = other.address();
        let text = format!(
            "{top}\n[services.attacked]\nlisten = \"{listen}\"\n{keys}\n\
             [services.other]\nlisten = LISTEN\nto = \"{to}\"\n"
        );
        let dormouse = Dormouse::start(configured(&dir, &text, launch)?)?;
        Ok(Self { dormouse, dir, other })
    }

    fn client(&self) -> UnixStream {
        UnixStream::connect(self.dir.join("front")).unwrap()
    }

    /// A client of the other service is served.
    #[track_caller]
    fn expect_service(&self) {
        expect_exchange(&self.dormouse.client_of("other").unwrap(), &self.other);
    }
}

/// What a client sends arrives at the server.
#[track_caller]
fn expect_exchange(client: &Stream, server: &Listener) {
    client.send(b"hello", SOON).unwrap();
    let server = server.accept(SOON).expect("the event loop of dormouse stands still");
    assert_eq!(server.receive(5, SOON).unwrap(), b"hello");
}

/// A server at a UNIX socket, which reads nothing and ends with its process.
struct DeafServer(Child);

impl DeafServer {
    fn start(path: &Path) -> Self {
        const SERVER: &str = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(4096)\n\
            kept=[]\nwhile True: kept.append(s.accept())";
        let child =
            Command::new("python3").args(["-c", SERVER]).arg(path).stdin(Stdio::null()).spawn().unwrap();
        until("the server listens", SOON, || Ok(UnixStream::connect(path).ok())).unwrap();
        Self(child)
    }
}

impl Drop for DeafServer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Sends messages with descriptors until dormouse has taken none for a while, because the server reads nothing.
fn fill(client: &UnixStream, fd: &OwnedFd, count: usize) {
    let client = Stream::from_socket(client.try_clone().unwrap().into());
    let stream: UnixStream = client.as_ref().unwrap().socket().try_clone().unwrap().into();
    for _ in 0..200 {
        match send_descriptors(&stream, &[b'x'; 16_000], fd, count) {
            Ok(_) => {}
            Err(Errno::AGAIN)
                if client.as_ref().unwrap().is_writable_within(Duration::from_millis(200)).unwrap() => {}
            // The kernel limits the descriptors of a user on their way.
            Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::PIPE | Errno::CONNRESET) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends a lingering socket with a byte, which must reach the server. Returns the peer of the socket.
#[track_caller]
fn send_lingering(client: &UnixStream, server: &Listener) -> TcpStream {
    let (sent, peer) = Lingering::new().send(client);
    if !sent {
        (&*client).write_all(b"x").unwrap();
    }
    assert_eq!(server.accept(SOON).unwrap().receive(1, SOON).unwrap(), b"x");
    peer
}

#[test]
fn a_descriptor_for_a_tcp_server_delays_no_session() {
    let server = Listener::bind(Family::Tcp4).unwrap();
    let scene = Scene::new("", &format!("to = \"{}\"", server.address())).unwrap();
    let client = scene.client();
    let _peer = send_lingering(&client, &server);
    scene.expect_service();
}

/// The manager's socket has no option of dormouse, so the descriptor gets to it.
#[test]
fn a_descriptor_over_a_passed_socket_delays_no_session() {
    let dir = TempDir::new().unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let front = UnixListener::bind(dir.join("front")).unwrap();
    let launch = Launch::dormouse().pass(&front).names("front");
    let scene = Scene::with("", &format!("to = \"{}\"", server.address()), "fd:front", launch).unwrap();
    let client = UnixStream::connect(dir.join("front")).unwrap();
    let _peer = send_lingering(&client, &server);
    scene.expect_service();
}

#[test]
fn a_descriptor_over_a_socket_of_dormouse_proxy_delays_no_session() {
    let dir = TempDir::new().unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let (front, other) =
        (UnixListener::bind(dir.join("front")).unwrap(), Listener::bind(Family::Tcp4).unwrap());
    let launch = Launch::dormouse().args(["proxy", "--log-level=debug"]).arg(server.address().to_string());
    let launch = launch.pass(&front).pass(&other);
    let _dormouse = Dormouse::start(launch).unwrap();
    let client = UnixStream::connect(dir.join("front")).unwrap();
    let (sent, _peer) = Lingering::new().send(&client);
    if !sent {
        (&client).write_all(b"x").unwrap();
    }
    assert_eq!(server.accept(SOON).unwrap().receive(1, SOON).unwrap(), b"x");
    expect_exchange(&Stream::connect(other.address(), SOON).unwrap(), &server);
}

#[test]
fn a_descriptor_of_a_refused_client_delays_no_session() {
    let scene = Scene::new("", "to = \"DIR/nobody\"\nhold.timeout = \"1s\"").unwrap();
    let client = Stream::connect(&Address::Unix(scene.dir.join("front")), SOON).unwrap();
    let (sent, _peer) = Lingering::new().send(&client.socket().try_clone().unwrap().into());
    assert!(sent, "the server could get descriptors");
    // The kernel reports the end before it closes what was unread.
    client.ended_within(SOON).unwrap().expect("the client was not refused");
    scene.expect_service();
}

#[test]
fn descriptors_that_the_server_leaves_delay_no_session() {
    let dir = TempDir::new().unwrap();
    let server = DeafServer::start(&dir.join("server"));
    let scene = Scene::new("", &format!("to = \"{}\"", dir.join("server").display())).unwrap();
    let client = scene.client();
    let Lingering { socket, peer: _peer } = Lingering::new();
    fill(&client, &socket, 1);
    drop(socket);
    let client = Stream::from_socket(client.into()).unwrap();
    drop(server);
    client.ended_within(SOON).unwrap().expect("the session goes on");
    scene.expect_service();
}

#[test]
fn a_descriptor_for_the_control_socket_delays_no_session() {
    let scene = Scene::new("control = \"DIR/control\"", "to = \"@nobody\"").unwrap();
    let control = scene.dir.join("control");
    // As soon as it answers, its clients cannot pass descriptors, where the kernel can refuse them.
    until("the control socket", SOON, || Ok(ask(&control, "show info").ok())).unwrap();
    let mut client = UnixStream::connect(&control).unwrap();
    let (sent, _peer) = Lingering::new().send(&client);
    if sent {
        // The byte is the beginning of a command.
        client.write_all(b"\n").unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        assert_ne!(client.read(&mut [0; 64]).expect("the command is not answered"), 0);
    }
    assert!(ask(&control, "show info").unwrap().contains("Name: dormouse"));
    scene.expect_service();
}

#[test]
fn descriptors_of_waiting_clients_do_not_delay_the_stop() {
    let dir = TempDir::new().unwrap();
    let _server = DeafServer::start(&dir.join("server"));
    let keys = format!("to = \"{}\"\nmaxconn = 1", dir.join("server").display());
    let mut scene = Scene::new("drain_timeout = \"0s\"\nlog_level = \"debug\"", &keys).unwrap();
    let served = Stream::from_socket(scene.client().into()).unwrap();
    served.send(b"x", SOON).unwrap();
    let waiting = scene.client();
    let (sent, _peer) = Lingering::new().send(&waiting);
    assert!(sent, "the server could get descriptors");
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
}

/// All threads of dormouse that close descriptors wait, and clients bring more than it takes.
#[test]
fn descriptors_that_are_never_closed_keep_out_only_clients_that_bring_them() {
    const THREADS: usize = 8;
    const FULL: usize = 256;

    let scene = Scene::new("", "to = \"DIR/nobody\"\nhold.timeout = \"1s\"\nmaxconn = 64").unwrap();
    let before = scene.dormouse.descriptors().unwrap().len();
    let refused = || Stream::connect(&Address::Unix(scene.dir.join("front")), SOON).unwrap();
    let mut peers = Vec::new();
    for _ in 0..THREADS {
        let (lingering, client) = (Lingering::new(), refused());
        let (sent, peer) = lingering.send(&client.socket().try_clone().unwrap().into());
        peers.push((peer, client));
        assert!(sent, "the server could get descriptors");
    }
    let clients: Vec<Stream> = (0..FULL * 3 / 2).map(|_| refused()).collect();
    let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    for client in &clients {
        // Most wait in the backlog.
        let _ = send_descriptors(&client.socket().try_clone().unwrap().into(), b"unread", &file, 1);
    }
    scene.dormouse.wait_for_log(messages::CLOSER_IS_FULL).unwrap();
    let open = scene.dormouse.descriptors().unwrap().len();
    assert!(open < before + FULL * 3 / 2, "{open} descriptors are open, {before} before");
    scene.expect_service();
    // The closes end with the peers. Then every client has its turn.
    drop(peers);
    for client in clients {
        client.ended_within(SOON).unwrap().expect("a client still waits");
    }
    scene.expect_service();
}

/// The descriptors of a process that refer to this file.
fn copies_of(dormouse: &Dormouse, path: &Path) -> usize {
    dormouse.descriptors().unwrap().iter().filter(|found| *found == path).count()
}

#[test]
fn descriptors_that_wait_for_a_server_are_few() {
    let dir = TempDir::new().unwrap();
    let _server = DeafServer::start(&dir.join("server"));
    let scene = Scene::new("", &format!("to = \"{}\"", dir.join("server").display())).unwrap();
    let path = dir.join("passed");
    let passed = OwnedFd::from(fs::File::create(&path).unwrap());
    let mut clients = Vec::new();
    for _ in 0..scaled(12, 64) {
        let client = scene.client();
        fill(&client, &passed, MAX_FDS);
        clients.push(client);
        // More than half of four full messages makes sessions look before they read.
        let held = copies_of(&scene.dormouse, &path);
        assert!(held <= 4 * MAX_FDS, "{held} descriptors are held");
    }
    scene.expect_service();
    assert_eq!(scene.dormouse.count_in_log(messages::CANNOT_ACCEPT), 0);
}
