//! Counters and states: of a server that is down, of a process that drains, and after a reset of the counters.

use std::os::unix::net::UnixListener;

use dormouse_tests::Result;
use dormouse_tests::wait::{self, SOON};
use rustix::process::Signal;

use super::rig::{Rig, stat};

/// A column of `show servers state`.
fn state(rig: &Rig, server: &str, column: usize) -> Result<String> {
    let table = rig.ask("show servers state")?;
    let line = table.lines().find(|line| line.contains(&format!(" {server} ")));
    Ok(line.and_then(|line| line.split(' ').nth(column)).unwrap_or_default().to_owned())
}

#[test]
fn a_server_that_fails_its_checks_is_reported_down_everywhere() {
    let dir = dormouse_tests::temp::TempDir::new().unwrap();
    let path = dir.join("server");
    let services = format!(
        "[services.main]\nlisten = LISTEN\ncheck = {{ inter = \"50ms\", fall = 1, rise = 1 }}\n\
         [[services.main.servers]]\nname = \"a\"\nto = {path:?}\n"
    );
    let rig = Rig::new("", &services).unwrap();
    let is = |wanted: &str| {
        let is = wait::until(wanted, SOON, || {
            Ok((stat(&rig.ask("show stat")?, "main", "a", "status") == wanted).then_some(()))
        });
        is.map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    };
    is("DOWN");
    // Wait a second, so that the reported time since the change is not zero.
    let known = wait::until("a second in the state", SOON, || {
        let lasted = stat(&rig.ask("show stat")?, "main", "a", "lastchg");
        Ok((lasted.parse::<u64>().unwrap_or(0) >= 1).then_some(()))
    });
    known.unwrap();
    let why = rig.ask("explain main").unwrap();
    rig.expect(
        why.starts_with("main has been down for ")
            && !why.contains("for 0")
            && why.contains("its last check: "),
        &why,
    );
    let services = rig.ask("show services").unwrap();
    let line = services.lines().nth(1).unwrap_or_default().split(' ').collect::<Vec<_>>();
    rig.expect(line.get(..2) == Some(&["main", "down"]) && line.get(2) != Some(&"0"), &services);
    let (_, table) = rig.dormouse(&["status"]).unwrap();
    rig.expect(table.contains("down") && !table.contains(" 0s"), &table);
    assert_eq!(state(&rig, "a", 5).unwrap(), "0");
    let csv = rig.ask("show stat").unwrap();
    let of = |column| stat(&csv, "main", "BACKEND", column);
    assert_eq!((of("status"), of("act"), of("weight")), ("DOWN".to_owned(), "0".to_owned(), "0".to_owned()));
    assert_eq!((of("chkdown"), stat(&csv, "main", "a", "chkdown")), ("1".to_owned(), "1".to_owned()));
    // The server comes back, and its state dates from then, not from the start.
    let _server = UnixListener::bind(&path).unwrap();
    is("UP");
    let why = rig.ask("explain main").unwrap();
    rig.expect(why.starts_with("main has been up for "), &why);
    assert_eq!(state(&rig, "a", 5).unwrap(), "2");
    let csv = rig.ask("show stat").unwrap();
    let of = |column| stat(&csv, "main", "BACKEND", column);
    assert_eq!((of("status"), of("act"), of("chkdown")), ("UP".to_owned(), "1".to_owned(), "1".to_owned()));
    let json = rig.ask("show services json").unwrap();
    rig.expect(json.contains("\"state\":\"up\""), &json);
}

#[test]
fn a_service_reports_the_state_of_its_best_server() {
    let two = "[[services.main.servers]]\nname = \"a\"\nto = \"/nonexistent/a\"\ncheck = false\n\
               [[services.main.servers]]\nname = \"b\"\nto = \"/nonexistent/b\"\ncheck = false\n";
    // No DNS server answers at this address, so that the service never has a server.
    let named = "[services.named]\nlisten = LISTEN\nto = \"dns:nobody.invalid:80\"\ndns = \"127.0.0.1:9\"\n";
    let services = format!(
        "[services.main]\nlisten = LISTEN\n{two}[services.lone]\nlisten = LISTEN\nECHO(lone)\n{named}"
    );
    let rig = Rig::new("", &services).unwrap();
    let state = |service: &str| -> String {
        let services = rig.ask("show services").unwrap();
        let line = services.lines().find(|line| line.starts_with(&format!("{service} ")));
        line.and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned()
    };
    assert_eq!(
        (state("main"), state("lone"), state("named")),
        ("up".into(), "stopped".into(), "vacant".into())
    );
    for (line, expected) in [
        ("disable server main/a", "up"),
        ("set server main/b state drain", "drain"),
        ("disable server main/b", "maint"),
        ("enable server main/a", "up"),
        ("set weight main/a 0", "drain"),
        ("disable server main/a", "maint"),
    ] {
        assert_eq!(rig.ask(line).unwrap(), "\n", "{line}");
        assert_eq!(state("main"), expected, "{line}");
        let act = stat(&rig.ask("show stat").unwrap(), "main", "BACKEND", "act");
        assert_eq!(act, if expected == "up" { "1" } else { "0" }, "{line}");
    }
    rig.ask("disable server lone/server1").unwrap();
    // A sleeping service has its own state.
    assert_eq!(state("lone"), "stopped");
    let json = rig.get("/status.json").unwrap();
    rig.expect(json.matches("\"state\":\"maint\"").count() == 3 && !json.contains("\"state\":\"up\""), &json);
    let (_, table) = rig.dormouse(&["status"]).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let begins = |words: &[&str]| lines.iter().any(|line| line.starts_with(words));
    rig.expect(begins(&["a", "maint"]) && begins(&["lone", "stopped,", "maint"]), &table);
    rig.expect(lines.last().is_some_and(|line| line.ends_with(&["vacant)"])), &table);
    rig.expect(begins(&["named", "vacant"]) && lines.len() == 7, &table);
    let why = rig.ask("explain named").unwrap();
    rig.expect(why.lines().count() == 2 && why.contains("vacant slots: "), &why);
    let why = rig.ask("explain main").unwrap();
    rig.expect(why.starts_with("main/a has been in maintenance for "), &why);
}

#[test]
fn a_draining_process_reports_the_stop_while_sessions_are_open() {
    let rig = Rig::new("drain_timeout = \"1h\"", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    let client = rig.client("main").unwrap();
    let status = || Ok(stat(&rig.ask("show stat")?, "main", "FRONTEND", "status"));
    assert_eq!(status().unwrap(), "OPEN");
    rig.expect(rig.get("/readyz").unwrap() == "ready\n", "not ready");
    rig.dormouse.signal(Signal::TERM).unwrap();
    let stops = wait::until("STOP", SOON, || Ok((status()? == "STOP").then_some(())));
    stops.map_err(|failure| rig.dormouse.with_log(&failure)).unwrap();
    let ready = rig.exchange("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    rig.expect(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with("ending\n"), &ready);
    rig.expect(rig.get("/healthz").unwrap() == "ok\n", "not healthy");
    client.send(b"still", SOON).unwrap();
    assert_eq!(client.receive(5, SOON).unwrap(), b"still");
}

#[test]
fn clear_counters_resets_the_maxima() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nECHO(main)\n").unwrap();
    // The first client waits for the start.
    drop((rig.client("main").unwrap(), rig.client("main").unwrap()));
    rig.is_empty().unwrap();
    let most = || -> Result<Vec<String>> {
        let csv = rig.ask("show stat")?;
        let of = |server, column| stat(&csv, "main", server, column);
        Ok([
            of("FRONTEND", "smax"),
            of("server1", "smax"),
            of("server1", "qmax"),
            of("BACKEND", "qmax"),
            of("BACKEND", "qtime_max"),
            of("BACKEND", "ctime_max"),
            of("BACKEND", "ttime_max"),
        ]
        .into())
    };
    let before = most().unwrap();
    rig.expect(before.iter().all(|most| most != "0"), &format!("{before:?}"));
    assert_eq!(rig.ask("clear counters").unwrap(), "\n");
    assert_eq!(most().unwrap(), vec!["0"; 7]);
    let rates = wait::until("the end of the second with the sessions in it", SOON, || {
        rig.ask("clear counters")?;
        let csv = rig.ask("show stat")?;
        let of = |server| stat(&csv, "main", server, "rate_max");
        Ok(([of("FRONTEND"), of("server1"), of("BACKEND")] == ["0", "0", "0"]).then_some(()))
    });
    rates.unwrap();
    // The totals are kept.
    assert_eq!(stat(&rig.ask("show stat").unwrap(), "main", "server1", "stot"), "2");
}
