//! The commands of the control socket, with socat as the client.

use dormouse_tests::Ending;
use dormouse_tests::messages;
use dormouse_tests::wait::SOON;

use super::rig::{Rig, rows, stat};

const ONE: &str = "[services.main]\nlisten = LISTEN\nECHO(main)\n";

#[test]
fn show_stat_has_one_row_per_server_and_named_columns() {
    let rig = Rig::new("", ONE).unwrap();
    let _guest = rig.client("main").unwrap();
    let csv = rig.socat("show stat\n").unwrap();
    assert!(csv.starts_with("# pxname,svname,qcur,") && csv.ends_with(",\n\n"), "{csv}");
    let names: Vec<_> = rows(&csv).iter().map(|row| row["svname"].clone()).collect();
    assert_eq!(names, ["FRONTEND", "server1", "BACKEND"]);
    for row in rows(&csv) {
        assert_eq!(
            (row["scur"].as_str(), row["stot"].as_str(), row["mode"].as_str()),
            ("1", "1", "tcp"),
            "{row:?}"
        );
    }
    // The bytes of an open session are counted.
    assert_eq!(stat(&csv, "main", "FRONTEND", "bin"), "5");
    assert_eq!(stat(&csv, "main", "server1", "bout"), "5");
    assert_eq!(stat(&csv, "main", "server1", "status"), "UP");
    let only = rig.socat("show stat 2 4 -1\n").unwrap();
    assert_eq!(rows(&only).len(), 1, "{only}");
    let typed = rig.socat("show stat typed\n").unwrap();
    assert!(
        typed.contains("\nF.2.0.4.scur.1:MGP:u32:1\n") && typed.contains("\nS.2.1.17.status.1:SGP:str:UP\n"),
        "{typed}"
    );
    let json = rig.socat("show stat json\n").unwrap();
    assert!(
        json.starts_with("[[{\"objType\":\"Frontend\",\"proxyId\":2,") && json.ends_with("]]\n\n"),
        "{json}"
    );
}

#[test]
fn show_stat_reports_the_balance_algorithm() {
    let service = |name: &str, balance: &str| {
        format!(
            "[services.{name}]\nlisten = LISTEN\nbalance = \"{balance}\"\nto = [\"/nonexistent/a\", \
             \"/nonexistent/b\"]\n"
        )
    };
    let all = ["roundrobin", "leastconn", "first", "source", "random"];
    let text: String = all.iter().map(|balance| service(balance, balance)).collect();
    let rig = Rig::new("", &text).unwrap();
    let csv = rig.ask("show stat").unwrap();
    for balance in all {
        assert_eq!(stat(&csv, balance, "BACKEND", "algo"), balance);
    }
}

#[test]
fn lines_prompts_and_multiple_commands_work_as_in_haproxy() {
    let rig = Rig::new("", ONE).unwrap();
    // Without a prompt only the first line is answered.
    let one = rig.socat("show version\nshow info\n").unwrap();
    assert_eq!(one, format!("{}\n\n", env!("CARGO_PKG_VERSION")));
    let both = rig.socat("show version; show backend\n").unwrap();
    assert_eq!(both, format!("{}\n\n# name\nmain\n\n", env!("CARGO_PKG_VERSION")));
    let prompted = rig.socat("prompt\nshow version\n\nquit\n").unwrap();
    assert_eq!(prompted, format!("\n> {}\n\n> \n> ", env!("CARGO_PKG_VERSION")));
    let unended = rig.socat("show version").unwrap();
    assert_eq!(unended, one);
    let long = rig.socat(&format!("{}\n", "x".repeat(100_000))).unwrap();
    assert!(long.starts_with("Command too long."), "{long}");
}

#[test]
fn a_session_is_listed_and_shut_down() {
    let rig = Rig::new("log_level = \"debug\"", ONE).unwrap();
    let (client, other) = (rig.client("main").unwrap(), rig.client("main").unwrap());
    let list = rig.socat("show sess\n").unwrap();
    assert_eq!(list.trim().lines().count(), 2, "{list}");
    let line = list.lines().next().unwrap();
    for part in ["proto=tcpv4 src=127.0.0.1:", " fe=main be=main srv=server1 ", "total=5"] {
        assert!(line.contains(part), "{line}");
    }
    let id = line.split(':').next().unwrap();
    let dump = rig.socat(&format!("show sess {id}\n")).unwrap();
    assert!(dump.contains("server=server1"), "{dump}");
    assert_eq!(rig.socat(&format!("shutdown session {id}\n")).unwrap(), "\n");
    assert_eq!(client.ended_within(SOON).unwrap(), Some(Ending::Reset));
    rig.wait_for_log(messages::ENDED_BY_ADMINISTRATOR).unwrap();
    assert_eq!(
        rig.socat(&format!("shutdown session {id}\n")).unwrap(),
        "No such session (use 'show sess').\n\n"
    );
    // The other session continues until all sessions of its server are shut down.
    other.send(b"again", SOON).unwrap();
    assert_eq!(other.receive(5, SOON).unwrap(), b"again");
    assert_eq!(rig.socat("shutdown sessions server main/server1\n").unwrap(), "\n");
    assert_eq!(other.ended_within(SOON).unwrap(), Some(Ending::Reset));
    rig.is_empty().unwrap();
    let stat = rig.socat("show stat\n").unwrap();
    assert_eq!(rows(&stat)[0]["bin"], "15");
}

#[test]
fn all_sessions_of_a_server_are_shut_down_at_any_number() {
    let services = format!("{ONE}[services.other]\nlisten = LISTEN\nECHO(other)\n");
    let rig = Rig::new("", &services).unwrap();
    let other = rig.client("other").unwrap();
    let clients: Vec<_> = (0..300).map(|_| rig.client("main").unwrap()).collect();
    assert_eq!(rig.ask("shutdown sessions server main/server1").unwrap(), "\n");
    for client in &clients {
        assert!(client.ended_within(SOON).unwrap().is_some());
    }
    other.send(b"still", SOON).unwrap();
    assert_eq!(other.receive(5, SOON).unwrap(), b"still");
    drop(rig.client("main").unwrap());
}

#[test]
fn maxconn_can_be_changed() {
    let rig = Rig::new("", "[services.main]\nlisten = LISTEN\nmaxconn = 1\nECHO(main)\n").unwrap();
    let _guest = rig.client("main").unwrap();
    let second = rig.client_of("main").unwrap();
    second.send(b"hello", SOON).unwrap();
    assert!(!second.is_readable_within(super::rig::MOMENT).unwrap());
    assert_eq!(rig.socat("set maxconn frontend main 2\n").unwrap(), "\n");
    assert_eq!(second.receive(5, SOON).unwrap(), b"hello");
    assert_eq!(stat(&rig.ask("show stat").unwrap(), "main", "FRONTEND", "slim"), "2");
    assert_eq!(rig.socat("set maxconn frontend other 2\n").unwrap(), "No such frontend.\n\n");
}

#[test]
fn the_control_socket_is_accessible_only_to_its_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new("", ONE).unwrap();
    let mode = std::fs::metadata(rig.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
