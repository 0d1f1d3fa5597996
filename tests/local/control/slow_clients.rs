//! Slow and broken clients of the control socket and of the web address do not affect sessions.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use dormouse_tests::wait::{self, SOON};
use rustix::net::addr::SocketAddrArg as _;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::rig::Rig;

/// The time limit of an undisturbed session on a busy machine.
const QUICK: Duration = Duration::from_secs(2);

#[test]
fn admin_clients_that_never_read_delay_no_session() {
    // Many services, so that an answer is larger than the socket buffers.
    let mut services = String::from("[services.main]\nlisten = LISTEN\nECHO(main)\n");
    for number in 0..300 {
        let listen = format!("@dormouse-{}-{number}", std::process::id());
        services.extend([format!("[services.s{number}]\nlisten = {listen:?}\nto = \"/nonexistent\"\n")]);
    }
    let rig = Rig::new("", &services).unwrap();
    let _first = rig.client("main").unwrap();
    let ask = |words: &str| {
        let mut socket = UnixStream::connect(rig.control()).unwrap();
        socket.write_all(words.as_bytes()).unwrap();
        socket
    };
    // More admin clients than slots: some send half a line, others never read the answer.
    let mut stuck: Vec<_> = (0..5).map(|_| ask("show st")).collect();
    stuck.extend((0..10).map(|_| ask(&format!("{}\n", "show stat;".repeat(200)))));
    // The same at the web address.
    let requests = [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    let incomplete = ["GET /metrics HTTP/1.1\r\nHost: localhost\r\n"; 20];
    let scrapers: Vec<_> = incomplete
        .iter()
        .chain(requests.iter().cycle().take(20))
        .map(|words| {
            let mut socket = TcpStream::connect(rig.http().unwrap()).unwrap();
            socket.write_all(words.as_bytes()).unwrap();
            socket
        })
        .collect();
    let mut durations = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        drop(rig.client("main").unwrap());
        durations.push(began.elapsed());
    }
    // A busy machine delays some sessions, but not half of them.
    durations.sort_unstable();
    rig.expect(durations[100] < QUICK, &format!("half of the sessions took {:?} or more", durations[100]));
    // dormouse finally disconnects these clients; a new admin client waits for a slot until then.
    let csv = wait::until("answer at the control socket", SOON * 3, || Ok(rig.ask("show stat -1 1 -1").ok()));
    let csv = csv.map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    rig.expect(csv.lines().count() >= 302, &csv);
    let well = wait::until("answer at the web address", SOON * 3, || Ok(rig.get("/healthz").ok()));
    assert_eq!(well.map_err(|failure| rig.dormouse.with_log(&failure)).unwrap(), "ok\n");
    drop((stuck, scrapers));
}

#[test]
fn silent_clients_of_the_web_address_lose_their_slots_soon() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let address = rig.http().unwrap();
    let began = Instant::now();
    let mut idle: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Some send an incomplete request.
    for socket in idle.iter_mut().skip(8) {
        socket.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    }
    let well = rig.get("/healthz").map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    rig.expect(well == "ok\n" && began.elapsed() < Duration::from_secs(6), &format!("{:?}", began.elapsed()));
    drop(idle);
}

/// Returns whether the other side has neither sent anything nor closed the connection.
fn is_quiet(read: std::io::Result<usize>) -> bool {
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn unfinished_requests_keep_no_client_of_the_web_address_out() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let address = rig.http().unwrap();
    let unfinished: Vec<_> = (0..256)
        .map(|number| {
            let mut socket = TcpStream::connect(address).unwrap();
            let words = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: 1\r\n";
            // Some have said more than others.
            socket.write_all(&words.as_bytes()[..number % words.len()]).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let well = rig.get("/healthz").map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    assert_eq!(well, "ok\n");
    let open = unfinished.iter().rev().take(15).filter(|socket| is_quiet((&**socket).read(&mut [0]))).count();
    rig.expect(open == 15, &format!("only {open} of the newest connections are still open"));
}

/// The number of silent clients. The descriptors of this process limit it; `system` has the full number.
const FLOOD: u64 = if cfg!(feature = "system") { 5000 } else { 400 };

#[test]
fn a_flood_of_silent_clients_keeps_nobody_out() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // Connects at once, without a wait for dormouse.
    let connect = |family, address: &SocketAddrAny| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
        let _ = rustix::net::connect(&socket, address);
        socket
    };
    let address = rig.http().unwrap().as_any();
    let silent: Vec<_> = (0..FLOOD).map(|_| connect(AddressFamily::INET, &address)).collect();
    let well = rig.get("/healthz").map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    assert_eq!(well, "ok\n");
    drop(silent);
    let address = SocketAddrUnix::new(rig.control()).unwrap().as_any();
    let silent: Vec<_> = (0..FLOOD).map(|_| connect(AddressFamily::UNIX, &address)).collect();
    let info = rig.ask("show info").map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    rig.expect(info.contains("\nCurrConns: "), &info);
    drop(silent);
}

#[test]
fn silent_clients_keep_no_administrator_out() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let connect = || UnixStream::connect(rig.control()).unwrap();
    // An administrator at a prompt is no silent client.
    let mut prompt = connect();
    prompt.set_read_timeout(Some(SOON)).unwrap();
    prompt.write_all(b"prompt\n").unwrap();
    prompt.read_exact(&mut [0; 3]).unwrap();
    let silent: Vec<_> = (0..64)
        .map(|number| {
            let mut socket = connect();
            socket.write_all(if number % 2 == 0 { b"show in" } else { b"" }).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let info = rig.ask("show info").map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    rig.expect(info.contains("\nCurrConns: "), &info);
    let open = silent.iter().rev().take(8).filter(|socket| is_quiet((&**socket).read(&mut [0]))).count();
    rig.expect(open == 8, &format!("only {open} of the newest connections are still open"));
    prompt.write_all(b"show version\n").unwrap();
    let mut version = [0; 3];
    prompt.read_exact(&mut version).unwrap();
    assert!(version[0].is_ascii_digit(), "{version:?}");
}

#[test]
fn requests_for_other_hosts_are_refused() {
    let rig =
        Rig::new("http_hosts = \"status.example.org\"\n", "[services.main]\nlisten = LISTEN\nECHO(main)\n")
            .unwrap();
    let status = |head: &str| {
        let answer = rig.exchange(&format!("GET /status.json {head}\r\n\r\n")).unwrap();
        (answer.split(' ').nth(1).unwrap_or_default().to_owned(), answer.contains("services"))
    };
    let port = rig.http().unwrap().port();
    for host in ["localhost", &format!("127.0.0.1:{port}"), "Status.example.org:80"] {
        assert_eq!(status(&format!("HTTP/1.1\r\nHost: {host}")), ("200".to_owned(), true), "{host}");
    }
    // No browser.
    assert_eq!(status("HTTP/1.0"), ("200".to_owned(), true));
    let refused = ("421".to_owned(), false);
    for host in ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example", "192.0.2.1", ""] {
        assert_eq!(status(&format!("HTTP/1.1\r\nHost: {host}")), refused, "{host}");
    }
    assert_eq!(status("HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"), refused);
    // A reload changes the list without another listener.
    rig.reload(|text| text.replace("status.example.org", "other.example.org")).unwrap();
    assert_eq!(status("HTTP/1.1\r\nHost: status.example.org"), refused);
    assert_eq!(status("HTTP/1.1\r\nHost: other.example.org"), ("200".to_owned(), true));
}

#[test]
fn invalid_requests_are_refused_without_harm() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    for words in [
        "\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let answer = rig.exchange(words).unwrap_or_default();
        rig.expect(!answer.starts_with("HTTP/1.1 200"), &answer);
    }
    let missing = rig.exchange("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    rig.expect(missing.starts_with("HTTP/1.1 404 "), &missing);
    let refused = rig.exchange("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    rig.expect(refused.starts_with("HTTP/1.1 405 "), &refused);
    rig.expect(rig.get("/readyz").unwrap() == "ready\n", "not ready");
    drop(rig.client("main").unwrap());
}
