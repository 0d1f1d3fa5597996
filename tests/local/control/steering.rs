//! Waking, putting to sleep, freezing, thawing and draining, by the commands for people.

use dormouse_tests::Result;
use dormouse_tests::wait::{self, SOON};

use super::rig::{Rig, stat};

const ONE: &str = "[services.main]\nlisten = LISTEN\nECHO(main)\n";

#[test]
fn a_service_is_woken_frozen_thawed_and_put_to_sleep() {
    let rig = Rig::new("", ONE).unwrap();
    let (done, table) = rig.dormouse(&["status"]).unwrap();
    assert!(done && table.contains("SERVICE") && table.contains("main     stopped"), "{table}");
    assert_eq!(rig.dormouse(&["wake", "main"]).unwrap(), (true, "main: starting\n".to_owned()));
    rig.is("main", "idle").unwrap();
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("woken by an administrator") && why.contains("next: it stops in "), "{why}");

    // What is used is not put to sleep.
    let guest = rig.guest("main").unwrap();
    let (done, answer) = rig.dormouse(&["sleep", "main"]).unwrap();
    assert!(!done && answer.contains("not done: 1 session uses it"), "{answer}");
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("kept awake, held by 1 session") && why.contains("the oldest is 0x"), "{why}");
    drop(guest);
    rig.is("main", "idle").unwrap();

    assert!(rig.dormouse(&["freeze", "main"]).unwrap().0);
    rig.is("main", "frozen").unwrap();
    assert!(!rig.dormouse(&["freeze", "main"]).unwrap().0);
    assert!(rig.dormouse(&["thaw", "main"]).unwrap().0);
    rig.is("main", "idle").unwrap();
    assert!(rig.dormouse(&["freeze", "main"]).unwrap().0);
    rig.is("main", "frozen").unwrap();
    // A client thaws it as well.
    drop(rig.guest("main").unwrap());
    rig.is("main", "idle").unwrap();
    assert!(rig.dormouse(&["sleep", "main"]).unwrap().0);
    rig.is("main", "stopped").unwrap();
    drop(rig.guest("main").unwrap());
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("woken by the client 127.0.0.1:") && why.contains("the last start took"), "{why}");

    let (done, answer) = rig.dormouse(&["wake", "other"]).unwrap();
    assert!(!done && answer == "No such service: other; dormouse status shows the names.\n", "{answer}");
}

#[test]
fn what_failed_is_started_by_the_next_client() {
    let services = "[services.main]\nlisten = LISTEN\nto = \"/nonexistent/main\"\nwake.exec = \"false\"\n\
                    hold.timeout = \"100ms\"\n";
    let rig = Rig::new("", services).unwrap();
    assert!(rig.client_of("main").unwrap().ended_within(SOON).unwrap().is_some());
    explained(&rig, "main", "next: the next client starts it.\n").unwrap();
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.starts_with("main has been failed for "), "{why}");
    let (_, table) = rig.dormouse(&["status"]).unwrap();
    assert!(table.contains("failed") && !table.contains("may start again"), "{table}");
}

#[test]
fn what_is_drained_ends_its_sessions_and_sleeps() {
    let services =
        "[services.main]\nlisten = LISTEN\nidle = { stop = \"1h\", minimum_uptime = \"1h\" }\nECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let guest = rig.guest("main").unwrap();
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("next: it stops when the last session has ended"), "{why}");
    let refused = rig.client_of("main").unwrap();
    assert!(refused.ended_within(SOON).unwrap().is_some());
    assert_eq!(stat(&rig.ask("show stat").unwrap(), "main", "server1", "status"), "DRAIN");
    guest.send(b"still", SOON).unwrap();
    assert_eq!(guest.receive(5, SOON).unwrap(), b"still");
    drop(guest);
    rig.is("main", "stopped").unwrap();
    assert!(!rig.dormouse(&["wake", "main"]).unwrap().0);
    assert_eq!(rig.ask("enable server main/server1").unwrap(), "\n");
    drop(rig.guest("main").unwrap());
}

#[test]
fn a_server_in_maintenance_leaves_its_clients_to_the_others() {
    let services = "[services.main]\nlisten = LISTEN\nbalance = \"first\"\nsoft = 10\n\
                    [[services.main.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.main.servers]]\nname = \"b\"\nECHO(b)\n";
    let rig = Rig::new("", services).unwrap();
    let served = |name: &str| stat(&rig.ask("show stat").unwrap(), "main", name, "stot");
    drop(rig.guest("main").unwrap());
    assert_eq!((served("a"), served("b")), ("1".to_owned(), "0".to_owned()));
    assert_eq!(rig.ask("disable server main/a").unwrap(), "\n");
    drop(rig.guest("main").unwrap());
    assert_eq!((served("a"), served("b")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(rig.ask("set server main/a state ready; disable server main/b").unwrap(), "\n\n");
    drop(rig.guest("main").unwrap());
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
        let (done, said) = rig.dormouse(&[&["status"], names].concat()).unwrap();
        let words = said.lines().filter(|line| !line.starts_with("SERVICE"));
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
fn who_wakes_a_service_wakes_a_server_that_may_be_woken() {
    let services = "[services.main]\nlisten = LISTEN\n\
                    [[services.main.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.main.servers]]\nname = \"b\"\nECHO(b)\n";
    let rig = Rig::new("", services).unwrap();
    assert_eq!(rig.ask("disable server main/a").unwrap(), "\n");
    assert_eq!(rig.dormouse(&["wake", "main"]).unwrap(), (true, "main/b: starting\n".to_owned()));
    assert_eq!(rig.ask("disable server main/b").unwrap(), "\n");
    let (done, answer) = rig.dormouse(&["wake", "main"]).unwrap();
    assert!(!done && answer == "main/a: not done: it is in maint\n", "{answer}");
}

#[test]
fn what_is_kept_warm_is_not_said_to_stop() {
    let services = "[services.main]\nlisten = LISTEN\nidle = { keep_warm = [\"00:00-24:00\"], stop = \"1h\" }\n\
                    ECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let _guest = rig.guest("main").unwrap();
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    let (_, why) = rig.dormouse(&["explain", "main"]).unwrap();
    assert!(why.contains("kept warm") && why.contains("next: it stays as it is"), "{why}");
}

/// Two of a group; nothing but each other, and whoever steers them, puts them to sleep. What more is said is said of b.
fn two_in_turn(more: &str) -> Result<Rig> {
    let service = |name: &str, more: &str| {
        format!(
            "[services.{name}]\nlisten = LISTEN\nexclusive = \"gpu\"\nECHO({name})\n{more}\
             idle = {{ stop = \"1h\", minimum_uptime = 0 }}\n"
        )
    };
    Rig::new("", &[service("a", ""), service("b", more)].concat())
}

/// Waits until `explain` says this of a service.
fn explained(rig: &Rig, service: &str, part: &str) -> Result<()> {
    let said = || Ok(rig.dormouse(&["explain", service])?.1.contains(part).then_some(()));
    wait::until(part, SOON, said).map_err(|failure| rig.dormouse.with_log(&failure))
}

#[test]
fn who_waits_for_a_place_gets_it_whatever_an_administrator_says_of_who_has_it() {
    let rig = two_in_turn("").unwrap();
    let first = rig.guest("a").unwrap();
    let second = rig.client_of("b").unwrap();
    second.send(b"hello", SOON).unwrap();
    explained(&rig, "a", "waits to start").unwrap();
    assert_eq!(rig.ask("enable server a/server1").unwrap(), "\n");
    drop(first);
    assert_eq!(second.receive(5, SOON).unwrap(), b"hello");
}

#[test]
fn what_is_drained_sleeps_whoever_gave_up_waiting_for_its_place() {
    let rig = two_in_turn("hold.timeout = \"300ms\"\nwake.start_timeout = \"600ms\"\n").unwrap();
    let guest = rig.guest("a").unwrap();
    assert!(rig.dormouse(&["drain", "a"]).unwrap().0);
    let _second = rig.client_of("b").unwrap();
    explained(&rig, "a", "waits to start").unwrap();
    let gone = || Ok((!rig.dormouse(&["explain", "a"])?.1.contains("waits to start")).then_some(()));
    wait::until("the end of the wait", SOON, gone).unwrap();
    drop(guest);
    rig.is("a", "stopped").unwrap();
}

#[test]
fn another_way_to_wake_counts_whatever_an_administrator_says() {
    let services =
        "[services.main]\nlisten = LISTEN\nidle = { stop = \"1h\", minimum_uptime = \"1h\" }\nECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let guest = rig.guest("main").unwrap();
    rig.reload(|text| text.replace("python3 ", "python3 -u ")).unwrap();
    explained(&rig, "main", "woken in another way").unwrap();
    assert_eq!(rig.ask("enable server main/server1").unwrap(), "\n");
    drop(guest);
    rig.is("main", "stopped").unwrap();
}

#[test]
fn what_an_administrator_said_outlives_a_reload() {
    let services = "[services.alone]\nlisten = LISTEN\nidle = { stop = \"1h\" }\nECHO(alone)\n\
                    [services.both]\nlisten = LISTEN\nidle = { stop = \"1h\" }\n\
                    [[services.both.servers]]\nname = \"a\"\nECHO(a)\n\
                    [[services.both.servers]]\nname = \"b\"\ndisabled = true\nECHO(b)\n";
    let rig = Rig::new("", services).unwrap();
    let guest = rig.guest("alone").unwrap();
    assert_eq!(rig.ask("disable server both/a; enable server both/b").unwrap(), "\n\n");
    assert_eq!(rig.ask("set weight both/a 7; set weight both/b 5").unwrap(), "\n\n");
    assert!(rig.dormouse(&["drain", "alone"]).unwrap().0);
    // Of the weights that count which is configured as before.
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
    // Those of before the reload count, and then it sleeps.
    drop(guest);
    rig.is("alone", "stopped").unwrap();
    assert_eq!(rig.ask("enable server alone/server1; enable server both/a").unwrap(), "\n\n");
    drop(rig.guest("alone").unwrap());
    rig.is("alone", "idle").unwrap();
    // A server of another name is another one, although it is the same that sleeps.
    assert_eq!(rig.ask("disable server both/b").unwrap(), "\n");
    rig.reload(|text| text.replace("name = \"b\"\nweight = 3\ndisabled = true", "name = \"c\"")).unwrap();
    assert_eq!([status("both", "a"), status("both", "c")], ["UP", "UP"]);
    assert_eq!(rig.ask("disable server both/a").unwrap(), "\n");
    drop(rig.guest("both").unwrap());
    explained(&rig, "both", "next: it stops in").unwrap();
}
