//! Targets: their syntax, and the results if they do not answer.

use std::time::{Duration, Instant};

use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Ending, Failure, Family, Listener, Result, Subject};

use crate::case::Expect::{Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Fate, Plan, Rig, exchange, log_of};

/// A loopback address whose port 80 no other program uses.
const OWN_HOST: &str = "127.83.12.5";

const NOT_CONNECTED: &str = "dropped: Failed to connect to remote host: Connection refused";
const UNRESOLVED: &str = "dropped: Failed to resolve host*";

cases! {
    ipv4: "127.0.0.1:PORT" => Same("serves"), |s| to(s, Family::Tcp4, "127.0.0.1:{port}");
    ipv6_plain: "::1:PORT" => Same("serves"), |s| to(s, Family::Tcp6, "::1:{port}");
    ipv6_brackets: "[::1]:PORT" => Differs {
        difference: "ipv6-brackets",
        socket_proxyd: UNRESOLVED,
        dormouse: "serves",
    }, |s| to(s, Family::Tcp6, "[::1]:{port}");
    ipv4_short: "127.1:PORT" => Same("serves"), |s| to(s, Family::Tcp4, "127.1:{port}");
    ipv4_hex: "0x7f000001:PORT" => Same("serves"), |s| to(s, Family::Tcp4, "0x7f000001:{port}");
    ipv4_zero: "0:PORT" => Same("serves"), |s| to(s, Family::Tcp4, "0:{port}");
    name: "localhost:PORT" => Same("serves"), |s| to_localhost(s);
    unix_path: "/path" => Same("serves"), |s| Plan::new(s).between(Family::Tcp4, Family::Unix).start()?.beginning();
    abstract_name: "@name" => Same("serves"),
        |s| Plan::new(s).between(Family::Tcp4, Family::Abstract).start()?.beginning();
    abstract_long: "@ and 106 bytes" => Same("serves"), |s| to_abstract(s, 106);
    abstract_longest: "@ and 107 bytes" => Differs {
        difference: "longest-abstract-name",
        socket_proxyd: "dropped: Specified address doesn't fit in an AF_UNIX address, refusing: *",
        dormouse: "serves",
    }, |s| to_abstract(s, 107);
    path_longest: "a path of 107 bytes" => Same("serves"), |s| {
        let dir = dormouse_tests::temp::TempDir::new()?;
        let room = 107 - dir.path().as_os_str().len() - 1;
        let path = dir.join(&"y".repeat(room));
        Plan::new(s).start_before(Listener::bind_at(&Address::Unix(path))?)?.beginning()
    };
    #[root] service_name: "HOST:http" => Same("serves"), |s| to_port_80(s, &format!("{OWN_HOST}:http"));
    #[root] no_port: "HOST" => Same("serves"), |s| to_port_80(s, OWN_HOST);
    #[root] number_alone: "a number alone is a host" => Same("serves"), |s| {
        let host = OWN_HOST.parse::<std::net::Ipv4Addr>().map_err(|error| Failure::Unexpected(error.to_string()))?;
        to_port_80(s, &host.to_bits().to_string())
    };

    port_too_large: "127.0.0.1:(PORT + 65536)" => Differs {
        difference: "impossible-targets",
        socket_proxyd: "serves",
        dormouse: "exit 1: *",
    }, |s| {
        let back = Listener::bind(Family::Tcp4)?;
        let target = format!("127.0.0.1:{}", u32::from(back.address().port()) + 65536);
        Plan::new(s).target(&target).start_before(back)?.beginning()
    };
    port_zero: "127.0.0.1:0" => Differs {
        difference: "impossible-targets",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "exit 1: *127.0.0.1:0*",
    }, |s| not_served(s, "127.0.0.1:0");
    port_empty: "127.0.0.1:" => Differs {
        difference: "impossible-targets",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "exit 1: *127.0.0.1:*",
    }, |s| not_served(s, "127.0.0.1:");
    port_unknown: "127.0.0.1:no-such-service" => Differs {
        difference: "impossible-targets",
        socket_proxyd: UNRESOLVED,
        dormouse: "exit 1: *no-such-service*",
    }, |s| not_served(s, "127.0.0.1:no-such-service");
    host_empty: ":80" => Differs {
        difference: "impossible-targets",
        socket_proxyd: "dropped: Failed to resolve host*",
        dormouse: "exit 1: *:80*",
    }, |s| not_served(s, ":80");
    target_empty: "an empty target" => Differs {
        difference: "impossible-targets",
        socket_proxyd: "dropped: Failed to resolve host*",
        dormouse: "exit 1: *",
    }, |s| not_served(s, "");
    path_too_long: "a path of 108 bytes" => Differs {
        difference: "impossible-targets",
        socket_proxyd: "dropped: Specified address doesn't fit in an AF_UNIX address, refusing: *",
        dormouse: "exit 1: *",
    }, |s| not_served(s, &format!("/{}", "z".repeat(107)));
    abstract_too_long: "@ and 108 bytes" => Differs {
        difference: "impossible-targets",
        socket_proxyd: "dropped: Specified address doesn't fit in an AF_UNIX address, refusing: *",
        dormouse: "exit 1: *",
    }, |s| not_served(s, &format!("@{}", "z".repeat(108)));
    path_relative: "b.sock is taken for a host" => Differs {
        difference: "impossible-targets",
        socket_proxyd: UNRESOLVED,
        dormouse: "exit 1: *b.sock*",
    }, |s| not_served(s, "b.sock");
    bad_brackets: "[127.0.0.1:80" => Differs {
        difference: "impossible-targets",
        socket_proxyd: UNRESOLVED,
        dormouse: "exit 1: *[127.0.0.1:80*",
    }, |s| not_served(s, "[127.0.0.1:80");

    every_address: "*:PORT, a name for ::1 and 127.0.0.1, with a backend on the second" => Differs {
        difference: "every-address",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "serves",
    }, every_address;

    refused: "no listener (--wait=0)" => Differs {
        difference: "log-wording",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "dropped: Failed to connect to server: 127.0.0.1:*: Connection refused*",
    },
        |s| not_there(s, Family::Tcp4);
    missing_path: "no such path (--wait=0)" => Differs {
        difference: "log-wording",
        socket_proxyd: "dropped: Failed to connect to remote host: No such file or directory",
        dormouse: "dropped: Failed to connect to server: /run/no-such-directory/socket: No such file or directory*",
    }, |s| not_served(s, "/run/no-such-directory/socket");
    missing_name: "no such abstract name (--wait=0)" => Differs {
        difference: "log-wording",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "dropped: Failed to connect to server: @dormouse-test-nobody-*: Connection refused*",
    }, |s| not_served(s, "@dormouse-test-nobody-has-this-name");
    stale_path: "the path of a closed listener (--wait=0)" => Differs {
        difference: "log-wording",
        socket_proxyd: NOT_CONNECTED,
        dormouse: "dropped: Failed to connect to server: /*: Connection refused*",
    }, |s| not_there(s, Family::Unix);
    survives_refusal: "a refused client, then a backend, then another client (--wait=0)" => Same("serves"),
        survives_refusal;

    hold_tcp: "the backend begins to listen after the client has connected" => Differs {
        difference: "hold",
        socket_proxyd: "dropped by Fin",
        dormouse: "held, then served",
    }, |s| held(s, Family::Tcp4);
    hold_unix: "the same over a UNIX socket" => Differs {
        difference: "hold",
        socket_proxyd: "dropped by Fin",
        dormouse: "held, then served",
    }, |s| held(s, Family::Unix);
    hold_missing_path: "the backend's path does not exist yet" => Differs {
        difference: "hold",
        socket_proxyd: "dropped by Fin",
        dormouse: "held, then served",
    }, held_before_path;
    hold_ends: "--wait=300ms and a backend that never listens" => Differs {
        difference: "hold",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--wait=300ms'",
        dormouse: "dropped after the hold",
    }, hold_ends;
    hold_restart: "the backend goes away and comes back between two clients" => Differs {
        difference: "hold",
        socket_proxyd: "dropped by Fin",
        dormouse: "held, then served",
    }, held_over_restart;
    hold_client_left: "a client leaves while it is held" => Differs {
        difference: "hold",
        socket_proxyd: "was not held",
        dormouse: "removed at once",
    }, held_client_left;

    vsock: "vsock:1:1 is an address" => Differs {
        difference: "vsock-target",
        socket_proxyd: UNRESOLVED,
        dormouse: "dropped: Failed to connect to server: vsock:1:1: *",
    }, |s| not_served(s, "vsock:1:1");
}

fn to(subject: Subject, back: Family, target: &str) -> Result<String> {
    // dormouse holds a client of a target that does not answer. In these cases that is a failure, so that a short
    // hold is enough.
    let mut rig =
        Plan::new(subject).between(Family::Tcp4, back).dormouse_args(["--wait=0"]).target(target).start()?;
    served_or_dropped(&mut rig)
}

/// Connects a client and returns `serves`, or `dropped` with the log, or the way in which the program ended.
fn served_or_dropped(rig: &mut Rig) -> Result<String> {
    let client = rig.client()?;
    let limit = Instant::now() + SOON;
    while Instant::now() < limit {
        match rig.fate(&client, Duration::from_millis(20))? {
            Fate::Served(server) => {
                exchange(&client, &server)?;
                return Ok("serves".to_owned());
            }
            Fate::Dropped(_) => {
                rig.subject.stderr().wait_for("\n", SOON)?;
                return Ok(format!("dropped: {}", log_of(&rig.subject)));
            }
            Fate::Waiting if !rig.subject.is_running()? => return crate::rig::ending(&mut rig.subject, SOON),
            Fate::Waiting => {}
        }
    }
    Ok(format!("still waiting: {}", log_of(&rig.subject)))
}

fn not_served(subject: Subject, target: &str) -> Result<String> {
    to(subject, Family::Tcp4, target)
}

/// `localhost` may resolve to either family first: the backend listens on both.
fn to_localhost(subject: Subject) -> Result<String> {
    let back = Listener::bind_at(&Address::Tcp((std::net::Ipv6Addr::UNSPECIFIED, 0).into()))?;
    let mut rig = Plan::new(subject).target("localhost:{port}").start_before(back)?;
    served_or_dropped(&mut rig)
}

fn to_port_80(subject: Subject, target: &str) -> Result<String> {
    let host = OWN_HOST.parse().map_err(|_| Failure::Unexpected(format!("{OWN_HOST} is not an address")))?;
    // Cases that share this address may run at the same time: wait until the address is free.
    let back = dormouse_tests::wait::until("free port 80 of a loopback address (run as root)", SOON, || {
        Ok(Listener::bind_at(&Address::Tcp(std::net::SocketAddr::new(host, 80))).ok())
    })?;
    let mut rig = Plan::new(subject).dormouse_args(["--wait=0"]).target(target).start_before(back)?;
    served_or_dropped(&mut rig)
}

/// Starts a backend on an abstract name of this many bytes.
fn to_abstract(subject: Subject, length: usize) -> Result<String> {
    let Address::Abstract(name) = Address::new_abstract() else {
        return Err(Failure::Unexpected("the listener has another address".to_owned()));
    };
    let back = Listener::bind_at(&Address::Abstract(format!("{name:x<length$}")))?;
    served_or_dropped(&mut Plan::new(subject).start_before(back)?)
}

fn every_address(subject: Subject) -> Result<String> {
    to(subject, Family::Tcp4, "*:{port}")
}

/// A target whose address is bound but does not listen.
fn not_there(subject: Subject, family: Family) -> Result<String> {
    let back = Listener::bound(family)?;
    let mut rig = Plan::new(subject).dormouse_args(["--wait=0"]).start_before(back)?;
    // The backend's socket does not listen: no client can be served.
    let client = rig.client()?;
    let ended = client.ended_within(SOON)?;
    rig.subject.stderr().wait_for("\n", SOON)?;
    match ended {
        Some(_) => Ok(format!("dropped: {}", log_of(&rig.subject))),
        None => rig.state_after(Duration::ZERO),
    }
}

fn survives_refusal(subject: Subject) -> Result<String> {
    let back = Listener::bound(Family::Tcp4)?;
    let rig = Plan::new(subject).dormouse_args(["--wait=0"]).start_before(back)?;
    rig.client()?.receive_to_end(SOON)?;
    rig.back.listen(16)?;
    let (client, server) = rig.session()?;
    exchange(&client, &server)?;
    Ok("serves".to_owned())
}

/// A client that connects before the backend listens and stays until it does.
fn held(subject: Subject, family: Family) -> Result<String> {
    let back = Listener::bound(family)?;
    let rig = Plan::new(subject).between(Family::Tcp4, family).start_before(back)?;
    let client = rig.client()?;
    if let Some(ending) = client.ended_within(A_WHILE)? {
        return Ok(format!("dropped by {ending:?}"));
    }
    rig.back.listen(16)?;
    served_after_hold(&rig, &client)
}

fn served_after_hold(rig: &Rig, client: &dormouse_tests::Stream) -> Result<String> {
    let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
    exchange(client, &server)?;
    Ok("held, then served".to_owned())
}

fn held_before_path(subject: Subject) -> Result<String> {
    let dir = dormouse_tests::temp::TempDir::new()?;
    let path = dir.join("later");
    let front = Listener::bind(Family::Tcp4)?;
    let _running = dormouse_tests::Launch::new(subject).arg(&path).pass(&front).start()?;
    let client = dormouse_tests::Stream::connect(front.address(), SOON)?;
    if let Some(ending) = client.ended_within(A_WHILE)? {
        return Ok(format!("dropped by {ending:?}"));
    }
    let back = Listener::bind_at(&Address::Unix(path))?;
    exchange(&client, &back.accept(SOON)?)?;
    Ok("held, then served".to_owned())
}

fn hold_ends(subject: Subject) -> Result<String> {
    let mut rig = Plan::new(subject).args(["--wait=300ms"]).start_before(Listener::bound(Family::Tcp4)?)?;
    if subject == Subject::SocketProxyd {
        return rig.state_after(SOON);
    }
    let come = Instant::now();
    let client = rig.client()?;
    client.receive_to_end(SOON)?;
    let held = come.elapsed();
    // A busy machine may be late; without a hold limit the client would not have been dropped at all.
    Ok(if held >= Duration::from_millis(300) {
        "dropped after the hold".to_owned()
    } else {
        format!("dropped after {held:?}")
    })
}

fn held_over_restart(subject: Subject) -> Result<String> {
    let back = Listener::bind(Family::Tcp4)?;
    let address = back.address().clone();
    let rig = Plan::new(subject).start_before(back)?;
    let (client, server) = rig.session()?;
    exchange(&client, &server)?;
    drop((client, server));
    let Rig { subject: running, front, back } = rig;
    back.close()?;
    let client = dormouse_tests::Stream::connect(front.address(), SOON)?;
    if let Some(ending) = client.ended_within(A_WHILE)? {
        return Ok(format!("dropped by {ending:?}"));
    }
    let rig = Rig { subject: running, front, back: Listener::bind_at(&address)? };
    served_after_hold(&rig, &client)
}

/// A client that leaves while it is held must not become a session when the backend listens.
fn held_client_left(subject: Subject) -> Result<String> {
    let rig = Plan::new(subject).start_before(Listener::bound(Family::Tcp4)?)?;
    let client = rig.client()?;
    if let Some(Ending::Fin | Ending::Reset) = client.ended_within(A_WHILE)? {
        return Ok("was not held".to_owned());
    }
    let before = rig.subject.descriptors()?.len();
    client.reset()?;
    dormouse_tests::wait::until("fewer descriptors after the client has left", SOON, || {
        Ok((rig.subject.descriptors()?.len() < before).then_some(()))
    })?;
    rig.back.listen(16)?;
    let come = rig.back.has_pending(A_WHILE)?;
    Ok(if come { "a session without a client" } else { "removed at once" }.to_owned())
}
