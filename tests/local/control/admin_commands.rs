//! The administrative commands: wake, sleep, freeze, thaw, drain, explain.

use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Result, messages};

use super::rig::{Rig, stat};

const ONE: &str = "[services.main]\nlisten = LISTEN\nECHO(main)\n";

#[test]
fn wake_freeze_thaw_and_sleep_change_the_state() {
    let rig = Rig::new("", ONE).unwrap();
    let (done, table) = rig.dormouse(&["status"]).unwrap();
    assert!(done && table.contains("SERVICE") && table.contains("main     stopped"), "{table}");
    assert!(table.ends_with("  starts for a client\n"), "{table}");
    assert_eq!(rig.dormouse(&["wake", "main"]).unwrap(), (true, "main: starting\n".to_owned()));
    rig.is("main", "idle").unwrap();
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("woken by an administrator") && why.contains("next: it stops in "), "{why}");

    // A workload with sessions is not stopped.
    let client = rig.client("main").unwrap();
    let (done, answer) = rig.dormouse(&["sleep", "main"]).unwrap();
    assert!(!done && answer.contains("not done: 1 session uses it"), "{answer}");
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("kept awake, held by 1 session") && why.contains("the oldest is 0x"), "{why}");
    drop(client);
    rig.is("main", "idle").unwrap();

    assert!(rig.dormouse(&["freeze", "main"]).unwrap().0);
    rig.is("main", "frozen").unwrap();
    assert!(!rig.dormouse(&["freeze", "main"]).unwrap().0);
    assert!(rig.dormouse(&["thaw", "main"]).unwrap().0);
    rig.is("main", "idle").unwrap();
    assert!(rig.dormouse(&["freeze", "main"]).unwrap().0);
    rig.is("main", "frozen").unwrap();
    // A client thaws it as well.
    drop(rig.client("main").unwrap());
    rig.is("main", "idle").unwrap();
    assert!(rig.dormouse(&["sleep", "main"]).unwrap().0);
    rig.is("main", "stopped").unwrap();
    drop(rig.client("main").unwrap());
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("woken by the client 127.0.0.1:") && why.contains("the last start took"), "{why}");

    let (done, answer) = rig.dormouse(&["wake", "other"]).unwrap();
    assert!(!done && answer == "No such service: other; dormouse status shows the names.\n", "{answer}");
}

#[test]
fn a_failed_workload_is_started_by_the_next_client() {
    let services = "[services.main]\nlisten = LISTEN\nto = \"/nonexistent/main\"\nwake.exec = \"false\"\n\
                    hold.timeout = \"100ms\"\n";
    let rig = Rig::new("", services).unwrap();
    assert!(rig.client_of("main").unwrap().ended_within(SOON).unwrap().is_some());
    explained(&rig, "main", "next: the next client starts it.\n").unwrap();
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.starts_with("main failed ") && why.contains(" ago.\n"), "{why}");
    let (_, table) = rig.dormouse(&["status"]).unwrap();
    assert!(table.contains("failed") && !table.contains("may start again"), "{table}");
}

#[test]
fn a_drained_service_ends_its_sessions_and_sleeps() {
    let services =
        "[services.main]\nlisten = LISTEN\nidle = { stop = \"1h\", minimum_uptime = \"1h\" }\nECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let client = rig.client("main").unwrap();
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("next: it stops when the last session has ended"), "{why}");
    let refused = rig.client_of("main").unwrap();
    assert!(refused.ended_within(SOON).unwrap().is_some());
    assert_eq!(stat(&rig.ask("show stat").unwrap(), "main", "server1", "status"), "DRAIN");
    client.send(b"still", SOON).unwrap();
    assert_eq!(client.receive(5, SOON).unwrap(), b"still");
    drop(client);
    rig.is("main", "stopped").unwrap();
    assert!(!rig.dormouse(&["wake", "main"]).unwrap().0);
    assert_eq!(rig.ask("enable server main/server1").unwrap(), "\n");
    drop(rig.client("main").unwrap());
}

#[test]
fn a_client_of_a_unix_socket_is_a_local_client() {
    let dir = TempDir::new().unwrap();
    let path = dir.join("listener");
    let services = format!("[services.main]\nlisten = \"{}\"\nECHO(main)\n", path.display());
    let rig = Rig::new("", &services).unwrap();
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    rig.is("main", "ready").unwrap();
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("woken by a local client, at "), "{why}");
    // The time is local, to the second.
    let time =
        why.split_once(" local client, at ").and_then(|(_, rest)| rest.split_once(", and the last start"));
    let shape = time.map(|(time, _)| time.replace(|c: char| c.is_ascii_digit(), "0"));
    assert_eq!(shape.as_deref(), Some("0000-00-00 00:00:00"), "{why}");
    let json = rig.ask("show services json").unwrap();
    assert!(json.contains("\"woken_by\":\"a local client\""), "{json}");
}

#[test]
fn clients_that_may_not_wake_the_service_leave_one_line() {
    let services = format!("{ONE}wake.allow = \"127.0.0.2\"\n");
    let rig = Rig::new("", &services).unwrap();
    for _ in 0..3 {
        assert!(rig.client_of("main").unwrap().ended_within(SOON).unwrap().is_some());
    }
    rig.wait_for_log(&format!("{} 127.0.0.1:", messages::CLIENT_MAY_NOT_WAKE)).unwrap();
    let lines = rig.log().matches(messages::CLIENT_MAY_NOT_WAKE).count();
    rig.expect(lines == 1, "the line is not limited");
}

#[test]
fn a_drain_is_undone() {
    let rig = Rig::new("", ONE).unwrap();
    let status = || stat(&rig.ask("show stat").unwrap(), "main", "server1", "status");
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    assert_eq!(status(), "DRAIN");
    let remedy = "dormouse undrain main ends the drain";
    let (done, answer) = rig.dormouse(&["wake", "main"]).unwrap();
    assert!(!done && answer == format!("main: not done: it is drained; {remedy}\n"), "{answer}");
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains(remedy) && why.contains("it stays as it is until the drain ends"), "{why}");
    assert_eq!(rig.dormouse(&["undrain", "main"]).unwrap(), (true, "main: stopped\n".to_owned()));
    assert_eq!(status(), "UP");
    drop(rig.client("main").unwrap());
    assert_eq!(rig.ask("drain main; undrain main/server1").unwrap().matches("main: ").count(), 2);
    drop(rig.client("main").unwrap());
}

#[test]
fn a_server_in_maintenance_gets_no_clients() {
    let services = "[services.main]\nlisten = LISTEN\nbalance = \"first\"\nsoft = 10\n\
                    [[services.main.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.main.servers]]\nname = \"b\"\nECHO(b)\n";
    let rig = Rig::new("", services).unwrap();
    let served = |name: &str| stat(&rig.ask("show stat").unwrap(), "main", name, "stot");
    drop(rig.client("main").unwrap());
    assert_eq!((served("a"), served("b")), ("1".to_owned(), "0".to_owned()));
    assert_eq!(rig.ask("disable server main/a").unwrap(), "\n");
    drop(rig.client("main").unwrap());
    assert_eq!((served("a"), served("b")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(rig.ask("set server main/a state ready; disable server main/b").unwrap(), "\n\n");
    drop(rig.client("main").unwrap());
    assert_eq!((served("a"), served("b")), ("2".to_owned(), "1".to_owned()));
    let (_, table) = rig.dormouse(&["status"]).unwrap();
    assert!(table.contains(", maint"), "{table}");
}

#[test]
fn one_server_of_several_is_shown_and_explained() {
    let services = "[services.two]\nlisten = LISTEN\n\
                    servers = [{ name = \"a\", to = \"/nonexistent/a\" }, { name = \"b\", to = \"/nonexistent/b\" }]\n";
    let rig = Rig::new("", services).unwrap();
    let shown = |names: &[&str]| {
        let (done, output) = rig.dormouse(&[&["status"], names].concat()).unwrap();
        let words = output.lines().filter(|line| !line.starts_with("SERVICE"));
        (
            done,
            words
                .map(|line| line.split("  ").find(|word| !word.is_empty()).unwrap_or_default().to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(shown(&["two"]), (true, ["two", "a", "b"].map(str::to_owned).to_vec()));
    assert_eq!(shown(&["two/b"]), (true, ["two", "b"].map(str::to_owned).to_vec()));
    let (done, lines) = shown(&["two/b", "wto", "two/c"]);
    assert!(!done);
    assert_eq!(
        lines,
        [
            "two",
            "b",
            "No such service: wto; dormouse status shows the names.",
            "No such server: two/c; dormouse status shows the names."
        ]
        .map(str::to_owned)
    );
    let (done, json) = rig.dormouse(&["status", "--json", "two/a"]).unwrap();
    assert!(done && json.contains("nonexistent/a") && !json.contains("nonexistent/b"), "{json}");
    assert!(!rig.dormouse(&["status", "--watch", "wto"]).unwrap().0);

    let (done, why) = rig.dormouse(&["explain", "two/b"]).unwrap();
    assert!(done && why.starts_with("two/b has been up for ") && !why.contains("two/a"), "{why}");
    assert_eq!(
        rig.dormouse(&["explain", "two/c"]).unwrap(),
        (false, "No such server: two/c; dormouse status shows the names.\n".to_owned())
    );
    assert_eq!(
        rig.dormouse(&["wake", "two/c"]).unwrap(),
        (false, "No such server: two/c; dormouse status shows the names.\n".to_owned())
    );
}

#[test]
fn wake_of_a_service_skips_servers_in_maintenance() {
    let services = "[services.main]\nlisten = LISTEN\n\
                    [[services.main.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.main.servers]]\nname = \"b\"\nECHO(b)\n";
    let rig = Rig::new("", services).unwrap();
    assert_eq!(rig.ask("disable server main/a").unwrap(), "\n");
    assert_eq!(rig.dormouse(&["wake", "main"]).unwrap(), (true, "main/b: starting\n".to_owned()));
    assert_eq!(rig.ask("disable server main/b").unwrap(), "\n");
    let (done, answer) = rig.dormouse(&["wake", "main"]).unwrap();
    assert!(
        !done && answer.starts_with("main/a: not done: it is in maintenance; enable server main/a "),
        "{answer}"
    );
    let (done, answer) = rig.dormouse(&["undrain", "main"]).unwrap();
    assert!(!done && answer.starts_with("main/a: not done: it is in maintenance; "), "{answer}");
    // As in HAProxy, a service does not stand for a server.
    for command in ["enable server main", "disable server main", "enable server other"] {
        assert_eq!(rig.ask(command).unwrap(), "Require 'backend/server'.\n\n");
    }
}

#[test]
fn explain_announces_no_stop_of_a_workload_that_is_kept_warm() {
    let services = "[services.main]\nlisten = LISTEN\nidle = { keep_warm = [\"00:00-24:00\"], stop = \"1h\" }\n\
                    ECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let _guest = rig.client("main").unwrap();
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("kept warm") && why.contains("next: it stays as it is"), "{why}");
}

/// Starts two services of an exclusive group that sleep only for each other or by command. `more` is added to
/// service b.
fn two_in_turn(more: &str) -> Result<Rig> {
    let service = |name: &str, more: &str| {
        format!(
            "[services.{name}]\nlisten = LISTEN\nexclusive = \"gpu\"\nECHO({name})\n{more}\
             idle = {{ stop = \"1h\", minimum_uptime = 0 }}\n"
        )
    };
    Rig::new("", &[service("a", ""), service("b", more)].concat())
}

/// Waits until `explain` of a service contains `part`.
fn explained(rig: &Rig, service: &str, part: &str) -> Result<()> {
    let contains = || Ok(rig.dormouse(&["explain", service])?.1.contains(part).then_some(()));
    wait::until(part, SOON, contains).map_err(|failure| rig.dormouse.with_log(&failure))
}

#[test]
fn a_waiting_service_gets_the_group_slot_despite_commands_on_its_holder() {
    let rig = two_in_turn("").unwrap();
    let first = rig.client("a").unwrap();
    let second = rig.client_of("b").unwrap();
    second.send(b"hello", SOON).unwrap();
    explained(&rig, "a", "waits to start").unwrap();
    assert_eq!(rig.ask("enable server a/server1").unwrap(), "\n");
    drop(first);
    assert_eq!(second.receive(5, SOON).unwrap(), b"hello");
}

#[test]
fn a_drained_service_sleeps_after_the_waiting_client_left() {
    let rig = two_in_turn("hold.timeout = \"300ms\"\nwake.start_timeout = \"600ms\"\n").unwrap();
    let client = rig.client("a").unwrap();
    assert!(rig.dormouse(&["drain", "a"]).unwrap().0);
    let _second = rig.client_of("b").unwrap();
    explained(&rig, "a", "waits to start").unwrap();
    let gone = || Ok((!rig.dormouse(&["explain", "a"])?.1.contains("waits to start")).then_some(()));
    wait::until("the end of the wait", SOON, gone).unwrap();
    drop(client);
    rig.is("a", "stopped").unwrap();
}

#[test]
fn a_changed_activator_applies_despite_administrative_commands() {
    let services =
        "[services.main]\nlisten = LISTEN\nidle = { stop = \"1h\", minimum_uptime = \"1h\" }\nECHO(main)\n";
    let rig = Rig::new("restrict_self = false\n", services).unwrap();
    let client = rig.client("main").unwrap();
    rig.reload(|text| text.replace("python3 ", "python3 -u ")).unwrap();
    explained(&rig, "main", "a reload changed how it is started").unwrap();
    assert_eq!(rig.ask("enable server main/server1").unwrap(), "\n");
    drop(client);
    rig.is("main", "stopped").unwrap();
}

#[test]
fn administrative_states_and_weights_survive_a_reload() {
    let services = "[services.alone]\nlisten = LISTEN\nidle = { stop = \"1h\" }\nECHO(alone)\n\
                    [services.both]\nlisten = LISTEN\nidle = { stop = \"1h\" }\n\
                    [[services.both.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.both.servers]]\nname = \"b\"\ndisabled = true\nECHO(b)\n";
    let rig = Rig::new("restrict_self = false\n", services).unwrap();
    let client = rig.client("alone").unwrap();
    assert_eq!(rig.ask("disable server both/a; enable server both/b").unwrap(), "\n\n");
    assert_eq!(rig.ask("set weight both/a 7; set weight both/b 5").unwrap(), "\n\n");
    assert!(rig.dormouse(&["drain", "alone"]).unwrap().0);
    // A set weight survives if the configured weight is unchanged.
    rig.reload(|text| {
        text.replace("listen =", "maxconn = 7\nlisten =").replace("\"b\"", "\"b\"\nweight = 3")
    })
    .unwrap();
    let weights = "get weight both/a; get weight both/b";
    assert_eq!(rig.ask(weights).unwrap(), "7 (initial 1)\n\n3 (initial 3)\n\n");
    let status = |service: &str, name: &str| stat(&rig.ask("show stat").unwrap(), service, name, "status");
    assert_eq!([status("both", "a"), status("both", "b")], ["MAINT", "UP"]);
    assert_eq!(status("alone", "server1"), "DRAIN");
    let refused = rig.client_of("alone").unwrap();
    assert!(refused.ended_within(SOON).unwrap().is_some());
    // Sessions from before the reload still count; the workload sleeps after their end.
    drop(client);
    rig.is("alone", "stopped").unwrap();
    assert_eq!(rig.ask("enable server alone/server1; enable server both/a").unwrap(), "\n\n");
    drop(rig.client("alone").unwrap());
    rig.is("alone", "idle").unwrap();
    // A server with another name is another server, although the workload is the same.
    assert_eq!(rig.ask("disable server both/b").unwrap(), "\n");
    rig.reload(|text| text.replace("name = \"b\"\nweight = 3\ndisabled = true", "name = \"c\"")).unwrap();
    assert_eq!([status("both", "a"), status("both", "c")], ["UP", "UP"]);
    assert_eq!(rig.ask("disable server both/a").unwrap(), "\n");
    drop(rig.client("both").unwrap());
    explained(&rig, "both", "next: it stops in").unwrap();
}
