//! Waking, putting to sleep, freezing, thawing and draining, by the commands for people.

use dormouse_tests::wait::SOON;

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
    assert!(!done && answer.contains("not done: 1 sessions use it"), "{answer}");
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
    assert!(!done && answer == "No such service: other.\n", "{answer}");
}

#[test]
fn what_is_drained_ends_its_sessions_and_sleeps() {
    let services =
        "[services.main]\nlisten = LISTEN\nidle = { stop = \"1h\", minimum_uptime = 0 }\nECHO(main)\n";
    let rig = Rig::new("", services).unwrap();
    let guest = rig.guest("main").unwrap();
    assert!(rig.dormouse(&["drain", "main"]).unwrap().0);
    let refused = rig.client("main").unwrap();
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
    assert_eq!(lines, ["two", "b", "No such service: wto.", "No such server: two/c."].map(str::to_owned));
    let (done, json) = rig.dormouse(&["status", "--json", "two/a"]).unwrap();
    assert!(done && json.contains("nonexistent/a") && !json.contains("nonexistent/b"), "{json}");
    assert!(!rig.dormouse(&["status", "--watch", "wto"]).unwrap().0);

    let (done, why) = rig.dormouse(&["explain", "two/b"]).unwrap();
    assert!(done && why.starts_with("two/b is up since ") && !why.contains("two/a"), "{why}");
    assert_eq!(rig.dormouse(&["explain", "two/c"]).unwrap(), (false, "No such server: two/c.\n".to_owned()));
    assert_eq!(rig.dormouse(&["wake", "two/c"]).unwrap(), (false, "No such server: two/c.\n".to_owned()));
}
