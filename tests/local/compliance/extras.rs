//! Features that only dormouse has: additional options, and its own name.

use std::time::{Duration, Instant};

use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Family, Launch, Listener, Result, Stream, Subject};

use crate::case::Expect::{Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, ending, exchange};

cases! {
    listen_path: "--listen=/PATH" => Differs {
        difference: "listen",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--listen=*",
        dormouse: "serves",
    }, |s| {
        let dir = dormouse_tests::temp::TempDir::new()?;
        listens(s, &Address::Unix(dir.join("front")))
    };
    listen_abstract: "--listen=@NAME" => Differs {
        difference: "listen",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--listen=*",
        dormouse: "serves",
    }, |s| listens(s, &Address::new_abstract());
    listen_tcp: "--listen=127.0.0.1:PORT" => Differs {
        difference: "listen",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--listen=*",
        dormouse: "serves",
    }, |s| listens(s, &free_tcp()?);
    listen_taken: "--listen= on an address in use" => Differs {
        difference: "listen",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--listen=*",
        dormouse: "exit 1: *",
    }, |s| {
        let taken = Listener::bind(Family::Tcp4)?;
        let mut subject = Launch::new(s).arg(format!("--listen={}", taken.address())).arg("127.0.0.1:9").start()?;
        ending(&mut subject, SOON)
    };

    wait: "--wait=0" => Differs {
        difference: "hold",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--wait=0'",
        dormouse: "serves",
    }, |s| Plan::new(s).args(["--wait=0"]).start()?.beginning();
    connect_timeout: "--connect-timeout=5s" => Differs {
        difference: "timeouts",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--connect-timeout=5s'",
        dormouse: "serves",
    }, |s| Plan::new(s).args(["--connect-timeout=5s"]).start()?.beginning();
    half_close_timeout: "--half-close-timeout=60s" => Differs {
        difference: "timeouts",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--half-close-timeout=60s'",
        dormouse: "serves",
    }, |s| Plan::new(s).args(["--half-close-timeout=60s"]).start()?.beginning();
    idle_timeout: "--idle-timeout=1h" => Differs {
        difference: "timeouts",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--idle-timeout=1h'",
        dormouse: "serves",
    }, |s| Plan::new(s).args(["--idle-timeout=1h"]).start()?.beginning();
    idle_timeout_spares_active_sessions: "--idle-timeout=500ms and an active session" => Differs {
        difference: "timeouts",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--idle-timeout=500ms'",
        dormouse: "continues",
    }, |s| {
        let mut rig = Plan::new(s).args(["--idle-timeout=500ms"]).start()?;
        if s == Subject::SocketProxyd {
            return rig.state_after(SOON);
        }
        let (client, server) = rig.session()?;
        let begun = Instant::now();
        while begun.elapsed() < A_WHILE * 2 {
            exchange(&client, &server)?;
            // The interval of the data, well below the timeout.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok("continues".to_owned())
    };
    half_close_timer_reset_by_bytes: "--half-close-timeout=500ms and an answer in pieces" => Differs {
        difference: "timeouts",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--half-close-timeout=500ms'",
        dormouse: "all arrived",
    }, |s| {
        let mut rig = Plan::new(s).args(["--half-close-timeout=500ms"]).start()?;
        if s == Subject::SocketProxyd {
            return rig.state_after(SOON);
        }
        let (client, server) = rig.session()?;
        client.finish()?;
        for _ in 0..15 {
            server.send(b"piece", SOON)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(server);
        let got = client.receive_to_end(SOON)?.bytes.len();
        Ok(if got == 15 * 5 { "all arrived".to_owned() } else { format!("{got} bytes arrived") })
    };
    log_level: "--log-level=debug" => Differs {
        difference: "log-level",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--log-level=debug'",
        dormouse: "serves",
    }, |s| Plan::new(s).args(["--log-level=debug"]).start()?.beginning();
    log_level_bad: "--log-level=loud" => Differs {
        difference: "log-level",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--log-level=loud'",
        dormouse: "exit 1: Failed to parse --log-level= argument: loud",
    }, |s| Plan::new(s).args(["--log-level=loud"]).start()?.beginning();
    at_limit_bad: "--at-limit=panic" => Differs {
        difference: "queue-at-limit",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--at-limit=panic'",
        dormouse: "exit 1: Failed to parse --at-limit= argument: panic",
    }, |s| Plan::new(s).args(["--at-limit=panic"]).start()?.beginning();

    own_name: "called as `dormouse proxy`" => Same("serves"), |s| {
        let front = Listener::bind(Family::Tcp4)?;
        let back = Listener::bind(Family::Tcp4)?;
        let launch = match s {
            Subject::Dormouse => Launch::dormouse().arg("proxy"),
            Subject::SocketProxyd => Launch::new(s),
        };
        let subject = launch.arg(back.address().to_string()).pass(&front).start()?;
        crate::rig::Rig { subject, front, back }.beginning()
    };
    own_name_messages: "`dormouse proxy` without a target" => Same("exit 1: Not enough parameters."), |s| {
        let launch = match s {
            Subject::Dormouse => Launch::dormouse().arg("proxy"),
            Subject::SocketProxyd => Launch::new(s),
        };
        ending(&mut launch.start()?, SOON)
    };
}

fn listens(subject: Subject, at: &Address) -> Result<String> {
    let back = Listener::bind(Family::Tcp4)?;
    let launch = Launch::new(subject).arg(format!("--listen={at}")).arg(back.address().to_string());
    let mut running = launch.start()?;
    if subject == Subject::SocketProxyd {
        return ending(&mut running, SOON);
    }
    let client = dormouse_tests::wait::until("the program's own listener", SOON, || {
        if running.is_running()? {
            Ok(Stream::connect(at, SOON).ok())
        } else {
            ending(&mut running, SOON).map(|_| None)
        }
    });
    let client = client.map_err(|failure| running.with_log(&failure))?;
    exchange(&client, &back.accept(SOON)?)?;
    Ok("serves".to_owned())
}

/// Returns an address that was free a moment ago.
fn free_tcp() -> Result<Address> {
    Ok(Listener::bound(Family::Tcp4)?.address().clone())
}
