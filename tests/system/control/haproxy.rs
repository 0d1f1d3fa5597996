//! Compares the control socket with a real `HAProxy`: the same commands get the same kind of answer.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Address, Failure, Result, Stream};

use super::rig::{Rig, socat, stat};

/// A running `HAProxy` with the same service.
struct HaProxy {
    child: Child,
    dir: TempDir,
}

impl HaProxy {
    fn start() -> Result<Self> {
        Self::with("", &["server1 BACK"])
    }

    /// Starts `HAProxy` with these servers and this keyword; `BACK` becomes the server's address.
    fn with(keyword: &str, servers: &[&str]) -> Result<Self> {
        let dir = TempDir::new()?;
        let server = |words: &&str| {
            format!("  server {}\n", words.replace("BACK", &dir.join("back").display().to_string()))
        };
        let config = format!(
            "global\n  stats socket {} mode 600 level admin\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client \
             30s\n  timeout server 30s\nlisten main\n  bind {}\n  {keyword}\n{}",
            dir.join("control").display(),
            dir.join("front").display(),
            servers.iter().map(server).collect::<String>()
        );
        fs::write(dir.join("haproxy.cfg"), config).doing(|| "write HAProxy's configuration".to_owned())?;
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(dir.join("haproxy.cfg"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|_| Failure::missing("haproxy", "run scripts/test-deps.sh"))?;
        let haproxy = Self { child, dir };
        wait::until("HAProxy's socket", SOON, || Ok(UnixStream::connect(haproxy.control()).ok().map(drop)))?;
        Ok(haproxy)
    }

    fn control(&self) -> PathBuf {
        self.dir.join("control")
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn errors_have_haproxys_wording() {
    let haproxy = HaProxy::start().unwrap();
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    for line in [
        "disable server main/other",
        "disable server other/server1",
        "disable server main",
        "enable server",
        "set server main/server1 state odd",
        "set server main/server1 weight",
        "set server main/server1 weight 500",
        "set server main/other state ready",
        "set server",
        "shutdown session",
        "shutdown session 0x1234",
        "shutdown sessions server main",
        "set maxconn frontend other 5",
        "set maxconn frontend",
        "show servers state other",
        "show stat other 1 1",
        "show sess 0x1234",
        "get weight main/server1",
        "clear counters",
        "set timeout",
        "set timeout con 5",
        "set timeout cli",
        "set timeout cli 0",
        "set timeout cli 0ms",
        "set timeout cli -1",
        "set timeout cli 5x",
        "set timeout cli 5",
        "set timeout cli 10us",
        "set server main/server1 state drain",
        "set server main/server1 state ready",
        "enable server main/server1",
        "show backend",
    ] {
        let line = format!("{line}\n");
        let (theirs, ours) = (socat(&haproxy.control(), &line).unwrap(), rig.socat(&line).unwrap());
        assert_eq!(theirs, ours, "{line}");
    }
}

#[test]
fn tables_have_haproxys_format() {
    let haproxy = HaProxy::start().unwrap();
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let both = |line: &str| {
        let line = format!("{line}\n");
        (socat(&haproxy.control(), &line).unwrap(), rig.socat(&line).unwrap())
    };
    // The first columns are the same; later columns belong to optional parts of HAProxy.
    let (theirs, ours) = both("show stat");
    let header = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    assert!(header(&theirs).starts_with(&header(&ours)), "{theirs}\n{ours}");
    // dormouse fills exactly the fields that HAProxy fills.
    for (theirs, ours) in theirs.lines().zip(ours.lines()).skip(1).filter(|(theirs, _)| !theirs.is_empty()) {
        let names = header(&both("show stat").1);
        for ((theirs, ours), name) in theirs.split(',').zip(ours.split(',')).zip(names.split(',')) {
            // A sleeping workload reports its state there; HAProxy's server has no check.
            let different = ["chkfail", "last_chk"];
            if !name.is_empty() && !different.contains(&name) {
                assert_eq!(theirs.is_empty(), ours.is_empty(), "{name}: {theirs:?} and {ours:?}");
            }
        }
    }
    let (theirs, ours) = both("show servers state");
    assert_eq!(theirs.lines().take(2).collect::<Vec<_>>(), ours.lines().take(2).collect::<Vec<_>>());
    let fields = |text: &str| text.lines().nth(2).map_or(0, |line| line.split(' ').count());
    assert_eq!(fields(&theirs), fields(&ours), "{theirs}\n{ours}");
    // Each process field has HAProxy's name, number and type.
    let (theirs, ours) = both("show info typed");
    let key = |line: &str| line.split(':').take(3).map(str::to_owned).collect::<Vec<_>>();
    let known: Vec<_> = theirs.lines().map(key).collect();
    for line in ours.lines().filter(|line| !line.is_empty()) {
        assert!(known.contains(&key(line)), "{line}\n{theirs}");
    }
}

#[test]
fn weights_and_backup_servers_are_reported_as_by_haproxy() {
    let haproxy =
        HaProxy::with("", &["a BACK weight 10", "b BACK weight 30", "c BACK weight 5 backup"]).unwrap();
    let services = "[services.main]\nlisten = LISTEN\n\
                    [[services.main.servers]]\nname = \"a\"\nto = \"/nonexistent/a\"\ncheck = false\nweight = 10\n\
                    [[services.main.servers]]\nname = \"b\"\nto = \"/nonexistent/b\"\ncheck = false\nweight = 30\n\
                    [[services.main.servers]]\nname = \"c\"\nto = \"/nonexistent/c\"\ncheck = false\nweight = 5\n\
                    backup = true\n";
    let rig = Rig::new("", services).unwrap();
    let both = |line: &str| {
        let line = format!("{line}\n");
        (socat(&haproxy.control(), &line).unwrap(), rig.socat(&line).unwrap())
    };
    let same = || {
        let (theirs, ours) = both("show stat");
        for server in ["a", "b", "c", "BACKEND"] {
            for column in ["status", "weight", "uweight", "act", "bck", "chkdown", "qcur"] {
                let of = |csv: &str| stat(csv, "main", server, column);
                assert_eq!(of(&theirs), of(&ours), "{column} of {server}");
            }
        }
        // The address, the operational state, the administrative state and the weights.
        let (theirs, ours) = both("show servers state main");
        let facts = |text: &str| -> Vec<Vec<String>> {
            let lines = text.lines().skip(2).filter(|line| !line.is_empty());
            lines.map(|line| line.split(' ').skip(1).take(8).map(str::to_owned).collect()).collect()
        };
        assert_eq!(facts(&theirs), facts(&ours));
    };
    same();
    for line in [
        "set weight main/a 50%",
        "set weight main/a 50%",
        "set server main/b weight 200%",
        "get weight main/a",
        "get weight main/b",
        "set weight main/b 3000%",
        "get weight main/b",
        "set weight main/b 0",
        "get weight main/b",
        "set weight main/b 100%",
        "disable server main/a",
        "set server main/b state drain",
        "set server main/b state ready",
        "enable server main/a",
    ] {
        let (theirs, ours) = both(line);
        assert_eq!(theirs, ours, "{line}");
        same();
    }
}

/// A server that accepts every connection until it is dropped.
struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).doing(|| format!("listen on {address}"))?;
        let ends = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                drop(client);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Ok(Self { address, ends, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // This connection makes the accept loop notice the end.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn checks_are_reported_as_by_haproxy() {
    const MANY: u32 = 100_000;
    // No other process allocates ports from this range.
    let free = TcpListener::bind("127.83.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = |name: &str, rise: u32, fall: u32| {
        let theirs = format!("{name} {address} check inter 50ms rise {rise} fall {fall}");
        let ours = format!(
            "[services.{name}]\nlisten = LISTEN\ncheck = {{ inter = \"50ms\", rise = {rise}, fall = {fall} }}\n\
             [[services.{name}.servers]]\nname = \"{name}\"\nto = \"{address}\"\n"
        );
        (theirs, ours)
    };
    // One server that goes up at once and practically never down, and one with the opposite. In dormouse each is a
    // service.
    let [(easy, our_easy), (hard, our_hard)] = [server("easy", 2, MANY), server("hard", MANY, 1)];
    let haproxy = HaProxy::with("", &[&easy, &hard]).unwrap();
    let rig = Rig::new("", &format!("{our_easy}{our_hard}")).unwrap();
    let both = |line: &str| -> Result<[String; 2]> {
        let ours = line.replace("main/easy", "easy/easy").replace("main/hard", "hard/hard");
        Ok([socat(&haproxy.control(), line)?, rig.socat(&ours)?])
    };
    let of = |csv: &str, server: &str, column: &str| {
        let service = match server {
            _ if csv.contains("\nmain,BACKEND,") => "main",
            "BACKEND" => "hard",
            server => server,
        };
        stat(csv, service, server, column)
    };
    let number = |csv: &str, server: &str, column: &str| of(csv, server, column).parse::<u32>().ok();
    let once = |what: &str, is: &dyn Fn(&str) -> bool| -> [String; 2] {
        // HAProxy marks a running check, whose fields are incomplete.
        let rests = |csv: &str| {
            ["easy", "hard"].iter().all(|server| !of(csv, server, "check_status").starts_with('*'))
        };
        let all = |both: &[String; 2]| both.iter().all(|csv| rests(csv) && is(csv));
        let both = || Ok(Some(both("show stat\n")?).filter(all));
        wait::until(what, SOON, both).map_err(|failure| rig.dormouse.with_log(&failure)).unwrap()
    };
    let same = |[theirs, ours]: &[String; 2], server: &str, columns: &[&str]| {
        for column in columns {
            assert_eq!(of(theirs, server, column), of(ours, server, column), "{column} of {server}");
        }
    };
    let all = [
        "status",
        "chkfail",
        "chkdown",
        "check_status",
        "check_desc",
        "check_rise",
        "check_fall",
        "check_health",
    ];
    let refused = |both: &[String; 2]| {
        for (csv, server) in both.iter().flat_map(|csv| [(csv, "easy"), (csv, "hard")]) {
            assert!(of(csv, server, "last_chk").contains("Connection refused"), "{csv}");
        }
    };

    // The first failed check takes both servers down, whatever `fall` is.
    let stats = once("a second of both being down", &|csv| {
        ["easy", "hard", "BACKEND"].iter().all(|server| number(csv, server, "downtime").unwrap_or(0) > 0)
    });
    for server in ["easy", "hard"] {
        same(&stats, server, &all);
    }
    assert_eq!(of(&stats[1], "easy", "status"), "DOWN");
    refused(&stats);

    let present = Server::at(address).unwrap();
    let stats = once("one to be up", &|csv| {
        of(csv, "easy", "status") == "UP" && number(csv, "hard", "check_health") > Some(0)
    });
    same(&stats, "easy", &all);
    same(&stats, "easy", &["last_chk"]);
    same(&stats, "hard", &["chkfail", "chkdown", "check_status", "check_desc", "last_chk", "check_rise"]);
    for csv in &stats {
        let streak = format!("DOWN {}/{MANY}", of(csv, "hard", "check_health"));
        assert_eq!(of(csv, "hard", "status"), streak, "{csv}");
        assert!(number(csv, "easy", "downtime").is_some_and(|seconds| (1..60).contains(&seconds)), "{csv}");
    }

    drop(present);
    let stats = once("both to have failed", &|csv| {
        of(csv, "hard", "status") == "DOWN" && number(csv, "easy", "chkfail") > Some(1)
    });
    same(&stats, "hard", &all);
    same(&stats, "easy", &["chkdown", "check_status", "check_desc", "check_rise", "check_fall"]);
    refused(&stats);
    let streak = |both: &[String; 2], word: &str| {
        for csv in both {
            let left = MANY + 1 - number(csv, "easy", "chkfail").unwrap();
            assert_eq!(of(csv, "easy", "status"), format!("{word} {left}/{MANY}"), "{csv}");
            assert_eq!(number(csv, "easy", "check_health"), Some(left + 1), "{csv}");
        }
    };
    streak(&stats, "UP");

    both("set server main/easy state drain\n").unwrap();
    both("set server main/hard state drain\n").unwrap();
    let stats = once("no check", &|_| true);
    streak(&stats, "DRAIN");
    same(&stats, "hard", &all);
    both("disable server main/easy\n").unwrap();
    let stats = once("no check", &|_| true);
    same(&stats, "easy", &[&["status", "last_chk"], &all[3..]].concat());
    assert_eq!(of(&stats[1], "easy", "status"), "MAINT");
}

#[test]
fn redispatched_clients_are_counted_as_by_haproxy() {
    const CLIENTS: u8 = 12;
    let haproxy = HaProxy::with("option redispatch 1", &["a /nonexistent/a", "b BACK"]).unwrap();
    // The server need not accept: a connection in the backlog is established.
    let _theirs = UnixListener::bind(haproxy.dir.join("back")).unwrap();
    let back = TempDir::new().unwrap();
    let _ours = UnixListener::bind(back.join("back")).unwrap();
    let services = format!(
        "[services.main]\nlisten = LISTEN\nbalance = \"roundrobin\"\n\
         [[services.main.servers]]\nname = \"a\"\nto = \"/nonexistent/a\"\ncheck = false\n\
         [[services.main.servers]]\nname = \"b\"\nto = \"{}\"\ncheck = false\n",
        back.join("back").display()
    );
    let rig = Rig::new("", &services).unwrap();
    let mut clients = Vec::new();
    for come in 1..=CLIENTS {
        clients.push(Stream::connect(&Address::Unix(haproxy.dir.join("front")), SOON).unwrap());
        clients.push(rig.client_of("main").unwrap());
        // One client after the other, so that both balance them in the same way.
        let served = || {
            let of = |csv: String| stat(&csv, "main", "b", "scur") == come.to_string();
            let theirs = of(socat(&haproxy.control(), "show stat\n")?);
            Ok((theirs && of(rig.socat("show stat\n")?)).then_some(()))
        };
        wait::until("both to have served", SOON, served).unwrap();
    }
    let (theirs, ours) =
        (socat(&haproxy.control(), "show stat\n").unwrap(), rig.socat("show stat\n").unwrap());
    // The order of servers differs: HAProxy tries the dead server first each time.
    for csv in [theirs, ours] {
        let of = |server: &str, column: &str| stat(&csv, "main", server, column).parse::<u8>().unwrap();
        assert!(of("a", "wredis") >= CLIENTS / 2, "{csv}");
        assert_eq!((of("b", "wredis"), of("BACKEND", "wredis")), (0, of("a", "wredis")), "{csv}");
        for server in ["a", "b", "BACKEND"] {
            assert_eq!((of(server, "econ"), of(server, "wretr")), (0, 0), "{csv}");
        }
    }
}

#[test]
fn a_client_without_a_server_is_counted_as_by_haproxy() {
    let haproxy = HaProxy::with("retries 2", &["a /nonexistent/a", "b /nonexistent/b backup"]).unwrap();
    let services = "[services.main]\nlisten = LISTEN\nretries = 2\nredispatch = false\nhold.timeout = 0\n\
                    [[services.main.servers]]\nname = \"a\"\nto = \"/nonexistent/a\"\ncheck = false\n\
                    [[services.main.servers]]\nname = \"b\"\nto = \"/nonexistent/b\"\ncheck = false\nbackup = true\n";
    let rig = Rig::new("", services).unwrap();
    let theirs = Stream::connect(&Address::Unix(haproxy.dir.join("front")), SOON).unwrap();
    for client in [theirs, rig.client_of("main").unwrap()] {
        assert!(client.ended_within(SOON).unwrap().is_some());
    }
    let ended = || {
        let of = |csv: String| stat(&csv, "main", "BACKEND", "econ") == "1";
        let theirs = of(socat(&haproxy.control(), "show stat\n")?);
        Ok((theirs && of(rig.socat("show stat\n")?)).then_some(()))
    };
    wait::until("both to have counted it", SOON, ended).unwrap();
    let (theirs, ours) =
        (socat(&haproxy.control(), "show stat\n").unwrap(), rig.socat("show stat\n").unwrap());
    for server in ["a", "b", "BACKEND"] {
        for column in ["econ", "wretr", "wredis"] {
            let of = |csv: &str| stat(csv, "main", server, column);
            assert_eq!(of(&theirs), of(&ours), "{column} of {server}\n{theirs}\n{ours}");
        }
    }
    assert_eq!(stat(&ours, "main", "a", "wretr"), "2", "{ours}");
}
