//! The real `HAProxy` beside ours: the same questions get the same kind of answer.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Address, Failure, Result, Stream};

use super::rig::{Rig, socat, stat};

/// A `HAProxy` with the same service.
struct HaProxy {
    child: Child,
    dir: TempDir,
}

impl HaProxy {
    fn start() -> Result<Self> {
        Self::with("", &["server1 BACK"])
    }

    /// With these servers and this keyword; `BACK` is where a server is.
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
        // It may have ended on its own; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_wrong_is_told_in_haproxys_words() {
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
fn tables_have_haproxys_shape() {
    let haproxy = HaProxy::start().unwrap();
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let both = |line: &str| {
        let line = format!("{line}\n");
        (socat(&haproxy.control(), &line).unwrap(), rig.socat(&line).unwrap())
    };
    // The first columns are the same; those behind them belong to parts that HAProxy may be built without.
    let (theirs, ours) = both("show stat");
    let header = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    assert!(header(&theirs).starts_with(&header(&ours)), "{theirs}\n{ours}");
    // Where HAProxy has a figure, we have one, and where it has none, neither have we.
    for (theirs, ours) in theirs.lines().zip(ours.lines()).skip(1).filter(|(theirs, _)| !theirs.is_empty()) {
        let names = header(&both("show stat").1);
        for ((theirs, ours), name) in theirs.split(',').zip(ours.split(',')).zip(names.split(',')) {
            // What sleeps tells there how it stands; HAProxy's server has no check.
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
    // Each field that we tell of the process stands under its name and its number, with the same type.
    let (theirs, ours) = both("show info typed");
    let key = |line: &str| line.split(':').take(3).map(str::to_owned).collect::<Vec<_>>();
    let known: Vec<_> = theirs.lines().map(key).collect();
    for line in ours.lines().filter(|line| !line.is_empty()) {
        assert!(known.contains(&key(line)), "{line}\n{theirs}");
    }
}

#[test]
fn weights_and_those_that_stand_by_are_counted_as_haproxy_does() {
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
        // Its place, what it does, what an administrator wants, and its weights.
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

#[test]
fn clients_that_a_server_did_not_take_are_counted_as_haproxy_does() {
    const CLIENTS: u8 = 12;
    let haproxy = HaProxy::with("option redispatch 1", &["a /nonexistent/a", "b BACK"]).unwrap();
    // Nobody has to accept: whoever is in the backlog is connected.
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
        clients.push(rig.client("main").unwrap());
        // One after the other, so that both deal them out alike.
        let served = || {
            let of = |csv: String| stat(&csv, "main", "b", "scur") == come.to_string();
            let theirs = of(socat(&haproxy.control(), "show stat\n")?);
            Ok((theirs && of(rig.socat("show stat\n")?)).then_some(()))
        };
        wait::until("both to have served", SOON, served).unwrap();
    }
    let (theirs, ours) =
        (socat(&haproxy.control(), "show stat\n").unwrap(), rig.socat("show stat\n").unwrap());
    // Which server comes second is another matter: theirs begins with the dead one each time.
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
fn a_client_that_nobody_took_is_counted_as_haproxy_does() {
    let haproxy = HaProxy::with("retries 2", &["a /nonexistent/a", "b /nonexistent/b backup"]).unwrap();
    let services = "[services.main]\nlisten = LISTEN\nretries = 2\nredispatch = false\nhold.timeout = 0\n\
                    [[services.main.servers]]\nname = \"a\"\nto = \"/nonexistent/a\"\ncheck = false\n\
                    [[services.main.servers]]\nname = \"b\"\nto = \"/nonexistent/b\"\ncheck = false\nbackup = true\n";
    let rig = Rig::new("", services).unwrap();
    let theirs = Stream::connect(&Address::Unix(haproxy.dir.join("front")), SOON).unwrap();
    for client in [theirs, rig.client("main").unwrap()] {
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
