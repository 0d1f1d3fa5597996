//! Thousands of sessions: all counters report the same numbers.

use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Result, process, wait};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::rig::{Rig, stat};

/// The number of sessions: fewer without the feature `system`, which scripts/test enables.
const SESSIONS: usize = if cfg!(feature = "system") { 10_000 } else { 1_000 };
const AT_ONCE: usize = 100;
const LIMIT: Duration = Duration::from_secs(120);

/// Runs this number of sessions, each of which sends its number and receives the echo. Returns the number of bytes
/// sent.
fn run_sessions(rig: &Rig, sessions: usize) -> Result<usize> {
    process::raise_own_nofile(2_000)?;
    let front = rig.front("main")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(|| "make a runtime".to_owned())?;
    runtime.block_on(async {
        let (mut all, mut bytes) = (JoinSet::new(), 0);
        for number in 0..sessions {
            if all.len() >= AT_ONCE {
                bytes += finished(all.join_next().await)?;
            }
            all.spawn(tokio::time::timeout(LIMIT, async move {
                let mut stream = TcpStream::connect(front).await?;
                let words = format!("{number}");
                stream.write_all(words.as_bytes()).await?;
                stream.shutdown().await?;
                let mut echoed = String::new();
                stream.read_to_string(&mut echoed).await?;
                assert_eq!(echoed, words);
                Ok::<_, std::io::Error>(words.len())
            }));
        }
        while let Some(done) = all.join_next().await {
            bytes += finished(Some(done))?;
        }
        Ok(bytes)
    })
}

type Done = std::result::Result<std::io::Result<usize>, tokio::time::error::Elapsed>;

fn finished(done: Option<std::result::Result<Done, tokio::task::JoinError>>) -> Result<usize> {
    let Some(done) = done else { return Ok(0) };
    let session = || "run a session".to_owned();
    done.doing(session)?.doing(session)?.doing(session)
}

#[test]
fn all_counters_agree_on_thousands_of_sessions() {
    let rig = Rig::new("log = \"tcplog\"", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let bytes = run_sessions(&rig, SESSIONS).unwrap().to_string();
    rig.is_empty().unwrap();
    let sessions = SESSIONS.to_string();

    let csv = rig.ask("show stat").unwrap();
    for name in ["FRONTEND", "server1", "BACKEND"] {
        let of = |column| stat(&csv, "main", name, column);
        assert_eq!(
            (of("stot"), of("scur"), of("bin"), of("bout")),
            (sessions.clone(), "0".to_owned(), bytes.clone(), bytes.clone()),
            "{name}"
        );
    }
    let info = rig.ask("show info").unwrap();
    assert!(info.contains(&format!("\nCumConns: {sessions}\n")), "{info}");

    let metrics = rig.get("/metrics").unwrap();
    let sample = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(sample("dormouse_sessions_total{service=\"main\"}"), sessions);
    assert_eq!(sample("dormouse_server_sessions_total{service=\"main\",server=\"server1\"}"), sessions);
    assert_eq!(sample("dormouse_received_bytes_total{service=\"main\"}"), bytes);
    assert_eq!(sample("dormouse_sent_bytes_total{service=\"main\"}"), bytes);
    assert_eq!(sample("dormouse_session_duration_seconds_count{service=\"main\"}"), sessions);
    assert_eq!(sample("dormouse_session_reach_seconds_count{service=\"main\"}"), sessions);
    assert_eq!(sample("dormouse_server_wakes_total{service=\"main\",server=\"server1\",by=\"client\"}"), "1");
    let ends: u64 = metrics
        .lines()
        .filter(|line| line.starts_with("dormouse_session_ends_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(ends.to_string(), sessions);

    let status = rig.get("/status.json").unwrap();
    assert_eq!(status.matches(&format!("\"total\":{sessions}")).count(), 3, "{status}");
    let (_, by_command) = rig.dormouse(&["status", "--json"]).unwrap();
    assert_eq!(by_command.matches(&format!("\"total\":{sessions}")).count(), 3, "{by_command}");

    // One log line for each session; the log writer may still be writing.
    let lines = || rig.log().lines().filter(|line| line.contains(" main main/server1 ")).count();
    let found = wait::until("a line for each session", LIMIT, || Ok((lines() == SESSIONS).then_some(())));
    found.unwrap_or_else(|failure| panic!("{failure}: {} lines", lines()));
    let log = rig.log();
    let in_log: u64 = log
        .lines()
        .filter_map(|line| line.split_once(" main main/server1 ")?.1.split(' ').nth(1)?.parse::<u64>().ok())
        .sum();
    assert_eq!(in_log.to_string(), bytes);
}

#[test]
fn an_access_log_line_has_haproxys_format_or_json() {
    let rig = Rig::new("log = \"tcplog\"", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    drop(rig.client("main").unwrap());
    rig.wait_for_log(" main main/server1 ").unwrap();
    let log = rig.log();
    let line = log.lines().find(|line| line.contains(" main main/server1 ")).unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    // 127.0.0.1:5 [21/Nov/2026:14:59:15.123] main main/server1 240/0/241 5 -- 1/1/0/0/0 0/0
    assert_eq!(fields.len(), 9, "{line}");
    assert!(
        fields[0].starts_with("127.0.0.1:") && fields[1].starts_with('[') && fields[1].len() == 26,
        "{line}"
    );
    assert_eq!(
        (fields[4].split('/').count(), fields[5], fields[7], fields[8]),
        (3, "5", "1/1/0/0/0", "0/0"),
        "{line}"
    );
    assert!(["--", "CD"].contains(&fields[6]), "{line}");
    let times: Vec<u64> = fields[4].split('/').map(|time| time.parse().unwrap()).collect();
    // The service slept: the wait is the time of its start.
    assert!(times[0] > 0 && times[1] == 0 && times[2] >= times[0], "{line}");
    // A session that ends while another is open.
    let (first, second) = (rig.client("main").unwrap(), rig.client("main").unwrap());
    drop(first);
    rig.wait_for_log(" 2/2/1/1/0 0/0").unwrap();
    drop(second);

    // Warnings of the configuration are sentences before the log.
    let quiet = "[services.main]\nlisten = LISTEN\npeer_credentials = \"own\"\nECHO(main)\n";
    let rig = Rig::new("log = \"json\"", quiet).unwrap();
    drop(rig.client("main").unwrap());
    rig.wait_for_log("\"event\":\"session\"").unwrap();
    let log = rig.log();
    // A warning of the configuration, which is read before the format is known.
    let log =
        log.lines().filter(|line| !line.contains(messages::RUNS_AS_ROOT)).collect::<Vec<_>>().join("\n");
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    let line = log.lines().find(|line| line.contains("\"event\"")).unwrap();
    for part in ["\"service\":\"main\"", "\"server\":\"server1\"", "\"bytes_in\":5", "\"level\":\"info\""] {
        assert!(line.contains(part), "{line}");
    }
}

const MAIN: &str = "[services.main]\nlisten = LISTEN\nECHO(main)\n";

#[test]
fn a_session_ended_by_a_reload_has_one_line_and_is_counted_once() {
    let rig = Rig::new("log = \"tcplog\"\ndrain_timeout = \"100ms\"", MAIN).unwrap();
    let clients: Vec<_> = (0..3).map(|_| rig.client("main").unwrap()).collect();
    rig.reload(|text| text.replace("[services.main]", "[services.main]\nmaxconn = 7")).unwrap();
    for client in &clients {
        assert!(client.ended_within(SOON).unwrap().is_some());
    }
    let lines = || rig.log().lines().filter(|line| line.contains(" 5 KD ")).count();
    wait::until("a line for each session", SOON, || Ok((lines() == 3).then_some(()))).unwrap();
    rig.is_empty().unwrap();
    let metrics = rig.get("/metrics").unwrap();
    for sample in [
        "dormouse_session_ends_total{service=\"main\",cause=\"killed\"",
        "dormouse_session_duration_seconds_count{service=\"main\"}",
    ] {
        let line = metrics.lines().find(|line| line.starts_with(sample));
        assert!(line.is_some_and(|line| line.ends_with(" 3")), "{line:?} of {sample} in {metrics}");
    }
    let csv = rig.ask("show stat").unwrap();
    for name in ["FRONTEND", "server1", "BACKEND"] {
        let of = |column| stat(&csv, "main", name, column);
        assert_eq!(
            (of("stot").as_str(), of("scur").as_str(), of("bout").as_str()),
            ("3", "0", "15"),
            "{name}"
        );
    }
    assert_eq!(lines(), 3);
}

#[test]
fn sessions_ended_by_the_exit_have_their_lines() {
    let lonely = "[services.lonely]\nlisten = LISTEN\nto = \"/nonexistent/socket\"\n";
    for (top, drain, signals) in [
        ("log = \"tcplog\"", "", 1),
        ("log = \"tcplog\"", "drain_timeout = \"100ms\"", 1),
        ("log = \"tcplog\"", "drain_timeout = \"1h\"", 2),
        ("log = \"json\"", "", 1),
        ("log_level = \"debug\"", "", 1),
    ] {
        let mut rig = Rig::new(&format!("{top}\n{drain}"), &format!("{MAIN}{lonely}")).unwrap();
        let clients: Vec<_> = (0..3).map(|_| rig.client("main").unwrap()).collect();
        let held = rig.client_of("lonely").unwrap();
        wait::until("all clients", SOON, || {
            Ok(rig.ask("show info")?.contains("\nCurrConns: 4\n").then_some(()))
        })
        .unwrap();
        for number in 0..signals {
            rig.dormouse.signal(Signal::TERM).unwrap();
            if number + 1 < signals {
                // The kernel may merge two signals that are pending at the same time.
                let closed = || Ok(std::net::TcpStream::connect(rig.front("main")?).is_err().then_some(()));
                wait::until("the close of the listener", SOON, closed).unwrap();
            }
        }
        assert!(rig.dormouse.wait(SOON).unwrap().success());
        let log = rig.log();
        let sessions: Vec<_> = log
            .lines()
            .filter(|line| {
                [" main/server1 ", " lonely/<NOSRV> ", "\"event\":\"session\"", "Session from "]
                    .iter()
                    .any(|part| line.contains(part))
            })
            .collect();
        // The connections that probed the listener have a line, too.
        let of_main: Vec<_> = sessions
            .iter()
            .filter(|line| {
                [" 5 ", "\"bytes_out\":5,", " 5 bytes down"].iter().any(|bytes| line.contains(bytes))
            })
            .collect();
        assert_eq!(of_main.len(), 3, "{top} {drain}: {log}");
        let held_ones = |line: &&&str| {
            [" KC ", "\"termination\":\"KC\"", "lonely: Session from"].iter().any(|part| line.contains(part))
        };
        assert_eq!(sessions.iter().filter(held_ones).count(), 1, "{top} {drain}: {log}");
        drop((clients, held));
    }
}
