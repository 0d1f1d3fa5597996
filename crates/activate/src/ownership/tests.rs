//! Tests of whose a socket is.

use super::*;
use dormouse_core::sock_diag::TcpState;
use std::net::{SocketAddr, TcpListener};

fn socket(listener: &TcpListener) -> Socket {
    let found = dormouse_sys::sock_diag::listeners(listener.local_addr().unwrap()).unwrap();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.state, TcpState::Listen);
    one.into()
}

#[test]
fn a_socket_of_no_descendant_belongs_to_a_stranger_who_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("process {} (", std::process::id());
    // This process is none of its own descendants. One that another test starts has a copy of the listener until it
    // executes its program.
    for guard in [None, Some(rustix::process::getpid().as_raw_pid())] {
        let owner = Owner(Rule::Descendants(guard));
        let named = || match owner.judge(&socket(&listener), std::process::id()) {
            Verdict::Stranger(name) if name.starts_with(&own) => Ok(Some(())),
            _ => Ok(None),
        };
        dormouse_tests::wait::until("the name of a stranger", dormouse_tests::wait::SOON, named).unwrap();
    }
    let child = Other::listen("python3");
    let guard = Some(rustix::process::getpid().as_raw_pid());
    assert_eq!(Owner(Rule::Descendants(guard)).judge(&child.1, std::process::id()), Verdict::Own);
}

/// Another process that listens, until it is dropped.
struct Other(std::process::Child, Socket);

impl Other {
    fn listen(name: &str) -> Self {
        use std::io::{BufRead as _, BufReader};
        // python3 may be a script that starts another program, so the process names itself.
        let script = "import socket, sys; open('/proc/self/comm', 'w').write(sys.argv[1]); \
                      s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()";
        let mut command = std::process::Command::new("python3");
        command.args(["-c", script, name]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
        let found = dormouse_sys::sock_diag::listeners(address).unwrap();
        Self(child, (&found[0]).into())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn only_an_engine_and_dormouse_listen_outside_the_groups_of_a_workload() {
    let own = rustix::process::geteuid().as_raw();
    let judged = |other: &Other, user| {
        let groups = vec!["/no/such.service".to_owned()];
        Owner(Rule::Groups { groups, engine_users: vec![user] }).judge(&other.1, std::process::id())
    };
    let stranger = Other::listen("python3");
    let Verdict::Stranger(name) = judged(&stranger, own) else { panic!("not a stranger") };
    assert!(name.starts_with(&format!("process {} (python3", stranger.0.id())), "{name}");
    let engine = Other::listen("docker-proxy");
    assert_eq!(judged(&engine, own), Verdict::Own);
    // Any program may call itself like that, but not as the user of the engine.
    assert!(matches!(judged(&engine, own + 1), Verdict::Stranger(_)));
}

#[test]
fn the_user_and_the_group_decide_where_no_holder_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = 1000;
    let mut numbers = Numbers::default();
    numbers.known.insert(7);
    let verdict = |uid, cgroup, is_cut_off, numbers: &Numbers| {
        let socket = Socket { uid, cgroup, ..socket(&listener) };
        without_holder(&socket, &["/web.service".to_owned()], numbers, &[0, engine], is_cut_off)
    };
    for is_cut_off in [false, true] {
        assert_eq!(verdict(0, Some(8), is_cut_off, &numbers), Verdict::Own);
        // The engine of another user, whose processes are hidden.
        for unknown in
            [verdict(engine, Some(8), is_cut_off, &numbers), verdict(1001, None, is_cut_off, &numbers)]
        {
            let Verdict::Unknown(reason) = unknown else { panic!("{unknown:?}") };
            assert_eq!(reason.contains("cut off after 2 s"), is_cut_off, "{reason}");
        }
        let Verdict::Stranger(name) = verdict(1001, Some(8), is_cut_off, &numbers) else {
            panic!("not a stranger")
        };
        assert!(name.starts_with("a process of uid 1001"), "{name}");
        assert_eq!(name.contains("cut off after 2 s"), is_cut_off, "{name}");
    }
    numbers.is_cut_off = true;
    assert!(matches!(verdict(1001, Some(8), false, &numbers), Verdict::Unknown(_)));
}

#[test]
fn dormouse_itself_and_anybody_may_listen_where_the_rule_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rule = Rule::Groups { groups: Vec::new(), engine_users: Vec::new() };
    assert_eq!(Owner(rule).judge(&socket(&listener), std::process::id()), Verdict::Own);
    let unknown = Owner(Rule::Unknown("because".to_owned()));
    assert_eq!(unknown.judge(&socket(&listener), std::process::id()), Verdict::Unknown("because".to_owned()));
    assert_eq!(Owner(Rule::Anybody).judge(&socket(&listener), std::process::id()), Verdict::Own);
}

#[test]
fn a_unix_listener_is_judged_by_its_process_and_user() {
    let child = Other::listen("python3");
    let own = child.0.id();
    let parent = Owner(Rule::Descendants(Some(rustix::process::getpid().as_raw_pid())));
    let nobody = Owner(Rule::Descendants(None));
    let uid = rustix::process::geteuid().as_raw();
    let listener = |uid, pid| Listener { uid, pid };
    assert_eq!(parent.judge_unix(listener(uid, Some(own))), Verdict::Own);
    // The process has ended, and the user is that of a descendant.
    assert_eq!(parent.judge_unix(listener(uid, Some(u32::MAX))), Verdict::Own);
    assert!(matches!(parent.judge_unix(listener(uid + 1, None)), Verdict::Stranger(_)));
    assert!(matches!(nobody.judge_unix(listener(uid, Some(own))), Verdict::Stranger(_)));
    // The number of a process that another user's listener came from is now that of a descendant.
    assert!(matches!(parent.judge_unix(listener(64_321, Some(own))), Verdict::Stranger(_)));
}
