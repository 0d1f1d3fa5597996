//! Third-party tools for `HAProxy` and Prometheus.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use dormouse_tests::failure::Doing;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Family, Listener, Result};

use super::rig::{Rig, all_of};
use super::terminal::Terminal;

const ONE: &str = "[services.main]\nlisten = LISTEN\nECHO(main)\n";

fn missing(program: &str) -> Failure {
    Failure::missing(program, "run scripts/test-deps.sh")
}

/// A process that is killed on drop.
struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program with a text on its standard input; returns whether it succeeded, and its output.
fn filter(program: &str, args: &[&str], text: &str) -> Result<(bool, String)> {
    let command = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = command.map_err(|_| missing(program))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).doing(|| format!("write to {program}"))?;
    }
    let output = child.wait_with_output().doing(|| format!("wait for {program}"))?;
    Ok((output.status.success(), all_of(&output)))
}

#[test]
fn promtool_accepts_the_metrics() {
    let rig = Rig::new("", ONE).unwrap();
    drop(rig.client("main").unwrap());
    let metrics = rig.get("/metrics").unwrap();
    assert_eq!(
        filter("promtool", &["check", "metrics"], &metrics).unwrap(),
        (true, String::new()),
        "{metrics}"
    );
}

#[test]
fn the_metrics_are_openmetrics_on_request() {
    const CHECK: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(sys.stdin.read())}
print(families['dormouse_sessions'].type, [float(s.value) for s in families['dormouse_sessions'].samples])
print(families['dormouse_server_cold_start_seconds'].type)
";
    let rig = Rig::new("", ONE).unwrap();
    drop(rig.client("main").unwrap());
    rig.is_empty().unwrap();
    let answer = rig
        .exchange(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n",
        )
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let (success, output) = filter("/usr/bin/python3", &["-c", CHECK], body).unwrap();
    assert!(success, "python3-prometheus-client is missing (run scripts/test-deps.sh), or: {output}\n{body}");
    assert_eq!(output, "counter [1.0]\nhistogram\n");
}

/// The Prometheus exporter for `HAProxy` reads `show stat` and `show info` from the socket.
#[test]
fn the_haproxy_exporter_reads_the_control_socket() {
    let rig = Rig::new("", ONE).unwrap();
    for _ in 0..7 {
        drop(rig.client("main").unwrap());
    }
    rig.is_empty().unwrap();
    // Bound without listening, so that nobody else gets the port. The exporter sets SO_REUSEADDR, too.
    let reserved = Listener::bound(Family::Tcp4).unwrap();
    let address = reserved.address().to_string();
    let exporter = Command::new("prometheus-haproxy-exporter")
        .arg(format!("--haproxy.scrape-uri=unix:{}", rig.control().display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| missing("prometheus-haproxy-exporter"))
        .unwrap();
    let _exporter = Tool(exporter);
    let scrape = || -> std::io::Result<String> {
        let mut socket = std::net::TcpStream::connect(&address)?;
        socket.set_read_timeout(Some(SOON))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let metrics = wait::until("the exporter's metrics", SOON, || Ok(scrape().ok())).unwrap();
    for sample in [
        "haproxy_up 1",
        "haproxy_frontend_sessions_total{frontend=\"main\"} 7",
        "haproxy_frontend_bytes_in_total{frontend=\"main\"} 35",
        "haproxy_backend_up{backend=\"main\"} 1",
        "haproxy_server_sessions_total{backend=\"main\",server=\"server1\"} 7",
        "haproxy_server_up{backend=\"main\",server=\"server1\"} 1",
        "haproxy_exporter_csv_parse_failures_total 0",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
    }
}

/// hatop shows the services in a terminal, and a key puts a server into maintenance.
#[test]
fn hatop_shows_and_controls_servers() {
    let rig = Rig::new("", ONE).unwrap();
    drop(rig.client("main").unwrap());
    let command =
        format!("env TERM=xterm LC_ALL=C.UTF-8 hatop -s {} 2>&1; sleep 100", rig.control().display());
    let terminal = Terminal::new(&command).unwrap();
    terminal.shows(&["server1", "UP"]);
    // Select the server's line and put the server into maintenance.
    terminal.press(&["Down", "Down"]);
    for _ in 0..3 {
        terminal.press(&["F10"]);
        terminal.press(&["Down"]);
    }
    let maint =
        wait::until("maintenance", SOON, || Ok(rig.ask("show stat")?.contains(",MAINT,").then_some(())));
    let screen = || terminal.tmux(&["capture-pane", "-p"]).unwrap_or_default();
    maint.unwrap_or_else(|failure| panic!("{failure}: {}", screen()));
}

#[test]
fn socat_gets_the_same_answer_as_a_client_of_the_test() {
    let rig = Rig::new("", ONE).unwrap();
    let address = format!("UNIX-CONNECT:{}", rig.control().display());
    for lines in ["show version\n", "show version; show backend\n", "prompt\nshow version\n\nquit\n"] {
        let (success, answer) = filter("socat", &["-t30", "-", &address], lines).unwrap();
        assert!(success, "{answer}");
        assert_eq!(answer, rig.socat(lines).unwrap(), "{lines}");
    }
}
