//! Three real web servers under load: one is killed, another drops all packets.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Result, Stream, wait};

use super::load::{Load, Request, percentile};
use dormouse_tests::network::{black_hole, inside, remove_black_hole};

const LIMIT: Duration = Duration::from_secs(120);
const RATE: u32 = 200;
const FRONT: u16 = 8000;

#[test]
fn requests_avoid_a_killed_and_a_silent_server_with_roundrobin() {
    let path = concat!(module_path!(), "::requests_avoid_a_killed_and_a_silent_server_with_roundrobin");
    inside(path, LIMIT, || fail_two("roundrobin"));
}

#[test]
fn requests_avoid_a_killed_and_a_silent_server_with_leastconn() {
    let path = concat!(module_path!(), "::requests_avoid_a_killed_and_a_silent_server_with_leastconn");
    inside(path, LIMIT, || fail_two("leastconn"));
}

/// A web server that answers with its name.
struct Web {
    child: Child,
    _dir: TempDir,
}

impl Web {
    fn start(name: &str, port: u16) -> Result<Self> {
        let dir = TempDir::new()?;
        let path = dir.path().display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log stderr crit;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n access_log off;\n keepalive_timeout 600s;\n client_body_temp_path {path}/a;\n\
             proxy_temp_path {path}/b;\n fastcgi_temp_path {path}/c;\n uwsgi_temp_path {path}/d;\n\
             scgi_temp_path {path}/e;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"{name}\\n\"; }} }}\n}}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, text).doing(|| "write nginx.conf".to_owned())?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-c"]).arg(&file).stdin(Stdio::null());
        let child = command.spawn().doing(|| "start nginx (scripts/test-deps.sh installs it)".to_owned())?;
        let web = Self { child, _dir: dir };
        let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        wait::until("a web server", SOON, || Ok(Stream::connect(&address, SOON).ok()))?;
        Ok(web)
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).doing(|| "kill nginx".to_owned()).map(drop)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn fail_two(balance: &str) -> Result<()> {
    let mut webs =
        [("a", 8001), ("b", 8002), ("c", 8003)].map(|(name, port)| Web::start(name, port).unwrap());
    let dir = TempDir::new()?;
    let file = dir.join("dormouse.toml");
    let text = format!(
        "[services.web]\nlisten = \"127.0.0.1:{FRONT}\"\nbalance = \"{balance}\"\ntimeout.connect = \"5s\"\n\
         check = {{ inter = \"500ms\", timeout = \"500ms\", on_marked_down = \"shutdown-sessions\" }}\n\
         [[services.web.servers]]\nname = \"a\"\nto = \"127.0.0.1:8001\"\n\
         [[services.web.servers]]\nname = \"b\"\nto = \"127.0.0.1:8002\"\n\
         [[services.web.servers]]\nname = \"c\"\nto = \"127.0.0.1:8003\"\n"
    );
    fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", file.display())).start()?;
    dormouse.stderr().wait_for(messages::LISTENING, SOON)?;
    let outcome = fall(&dormouse, &mut webs);
    outcome.map_err(|failure| dormouse.with_log(&failure))
}

fn fall(dormouse: &Running, webs: &mut [Web; 3]) -> Result<()> {
    let front = SocketAddr::from(([127, 0, 0, 1], FRONT));
    // Long sessions, some on each server.
    let lasting: Vec<(String, Stream)> = (0..9).map(|_| lasting(front)).collect::<Result<_>>()?;
    for name in ["a", "b", "c"] {
        assert!(lasting.iter().any(|(server, _)| server == name), "no session on {name}");
    }
    let load = Load::start(front, RATE);
    load.more(200)?;
    let struck = Instant::now();
    webs[0].kill()?;
    black_hole(8002)?;
    let fallen = Instant::now();
    for name in ["a", "b"] {
        dormouse.stderr().wait_for(&messages::down(&format!("web/{name}")), SOON)?;
    }
    let known = Instant::now();
    for (name, stream) in &lasting {
        let ended = stream.ended_within(if name == "c" { Duration::from_millis(1) } else { SOON })?;
        assert_eq!(ended.is_some(), name != "c", "a session on {name}: {ended:?}");
    }
    load.more(600)?;
    let mended = Instant::now();
    remove_black_hole()?;
    dormouse.stderr().wait_for(&messages::up("web/b"), SOON)?;
    let back = Instant::now();
    load.more(300)?;
    let requests = load.stop();
    judge(&requests, struck..fallen, known..mended, back);
    Ok(())
}

fn judge(requests: &[Request], fall: Range<Instant>, known: Range<Instant>, back: Instant) {
    let failed = |request: &&Request| request.answer.is_err();
    // Requests in flight to a server at the moment of its failure are lost.
    let lost: Vec<_> = requests.iter().filter(failed).collect();
    println!(
        "{} requests, {} in flight lost; down after {:?}; p50 {:?}, p99 {:?}, longest {:?}",
        requests.len(),
        lost.len(),
        known.start - fall.start,
        percentile(requests, 50),
        percentile(requests, 99),
        percentile(requests, 100),
    );
    for request in &lost {
        assert!(request.began < fall.end, "{:?} after the fall: {request:?}", request.began - fall.end);
        assert!(fall.start.saturating_duration_since(request.began) < Duration::from_secs(1), "{request:?}");
    }
    let served = |by: &str, when: &Range<Instant>| {
        let within = requests.iter().filter(|request| when.contains(&request.began));
        within.filter(|request| request.answer.as_deref() == Ok(by)).count()
    };
    assert_eq!((served("a", &known), served("b", &known)), (0, 0), "a dead server served");
    // Some of the requests that end in this period began before it.
    assert!(served("c", &known) > 100, "{}", served("c", &known));
    let after: Vec<Request> =
        requests.iter().filter(|request| request.began >= known.start).cloned().collect();
    // A request that is sent to the silent server takes at least the connect timeout.
    assert!(percentile(&after, 99) < Duration::from_secs(5), "{:?}", percentile(&after, 99));
    let after = back..Instant::now();
    assert!(served("b", &after) > 50, "the returned server gets too few requests");
    assert_eq!(served("a", &after), 0);
}

/// Opens a session that stays open after its first request, and returns the name of its server.
fn lasting(front: SocketAddr) -> Result<(String, Stream)> {
    let stream = Stream::connect(&Address::Tcp(front), SOON)?;
    stream.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", SOON)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(stream.receive(1, SOON)?);
        if head.len() > 4096 {
            return Err(Failure::Unexpected(format!("no head: {:?}", String::from_utf8_lossy(&head))));
        }
    }
    let body = stream.receive(2, SOON)?;
    Ok((String::from_utf8_lossy(&body).trim().to_owned(), stream))
}
