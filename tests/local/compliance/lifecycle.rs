//! Signals, draining, and the log.

use std::time::Duration;

use dormouse_tests::notify::Manager;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Failure, Family, Launch, Listener, Result, Subject};
use rustix::process::Signal;

use crate::case::Expect::{Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, end_limit, ending, exchange, log_of};

cases! {
    sigterm: "SIGTERM without sessions" => Differs {
        difference: "clean-stop",
        socket_proxyd: "killed by signal 15",
        dormouse: "exit 0",
    }, |s| signalled(s, Signal::TERM);
    sigint: "SIGINT without sessions" => Differs {
        difference: "clean-stop",
        socket_proxyd: "killed by signal 2",
        dormouse: "exit 0",
    }, |s| signalled(s, Signal::INT);
    sigterm_notifies: "the notification at SIGTERM" => Differs {
        difference: "clean-stop",
        socket_proxyd: "nothing",
        dormouse: "STOPPING=1",
    }, |s| {
        let manager = Manager::at_path()?;
        let mut rig = Plan::new(s).launch(|l| l.notify(&manager)).start()?;
        let open = rig.session()?;
        rig.subject.signal(Signal::TERM)?;
        rig.subject.wait(SOON)?;
        drop(open);
        let stopping = manager.wait_for("STOPPING", "1", end_limit(s));
        Ok(if stopping.is_ok() { "STOPPING=1" } else { "nothing" }.to_owned())
    };
    sigterm_ends_sessions: "SIGTERM with a session" => Differs {
        difference: "clean-stop",
        socket_proxyd: "killed by signal 15, the session has ended by Fin and Fin",
        dormouse: "exit 0, the session has ended by Fin and Fin",
    }, |s| {
        let mut rig = Plan::new(s).start()?;
        let (client, server) = rig.session()?;
        rig.subject.signal(Signal::TERM)?;
        let end = ending(&mut rig.subject, SOON)?;
        let (client, server) = (client.receive_to_end(SOON)?.ending, server.receive_to_end(SOON)?.ending);
        Ok(format!("{end}, the session has ended by {client:?} and {server:?}"))
    };
    sigterm_keeps_queue: "a client that connects after SIGTERM" => Same("served by the next process"), |s| {
        let mut rig = Plan::new(s).start()?;
        exchange_once(&rig)?;
        rig.subject.signal(Signal::TERM)?;
        rig.subject.wait(SOON)?;
        let crate::rig::Rig { subject, front, back } = rig;
        drop(subject);
        let client = dormouse_tests::Stream::connect(front.address(), SOON)?;
        let rig = Plan::new(s).start_between(front, back)?;
        let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
        exchange(&client, &server)?;
        Ok("served by the next process".to_owned())
    };
    sigpipe: "SIGPIPE" => Differs {
        difference: "sigpipe",
        socket_proxyd: "killed by signal 13",
        dormouse: "still running",
    }, |s| {
        let mut rig = Plan::new(s).start()?;
        exchange_once(&rig)?;
        rig.subject.signal(Signal::PIPE)?;
        rig.state_after_next_session()
    };

    drain: "--drain-timeout=1h: a session at SIGTERM" => Differs {
        difference: "drain",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=1h'",
        dormouse: "continues, new clients stay in the queue, then exit 0",
    }, drain;
    drain_status: "--drain-timeout=1h: the status for the service manager" => Differs {
        difference: "drain",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=1h'",
        dormouse: "the number of open connections",
    }, |s| {
        let manager = Manager::at_path()?;
        let plan = Plan::new(s).args(["--drain-timeout=1h"]).launch(|l| l.notify(&manager));
        let mut rig = plan.start()?;
        if s == Subject::SocketProxyd {
            return rig.state_after(SOON);
        }
        let (one, two) = (rig.session()?, rig.session()?);
        rig.subject.signal(Signal::TERM)?;
        manager.wait_for("STATUS", "Waiting for 2 open connections to end...", SOON)?;
        drop(one);
        manager.wait_for("STATUS", "Waiting for 1 open connection to end...", SOON)?;
        drop(two);
        rig.subject.wait(SOON)?;
        Ok("the number of open connections".to_owned())
    };
    drain_ends: "--drain-timeout=300ms: a session that does not end" => Differs {
        difference: "drain",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=300ms'",
        dormouse: "exit 0, the session has ended",
    }, |s| {
        let mut rig = Plan::new(s).args(["--drain-timeout=300ms"]).start()?;
        if s == Subject::SocketProxyd {
            return rig.state_after(SOON);
        }
        let (client, server) = rig.session()?;
        rig.subject.signal(Signal::TERM)?;
        let status = rig.subject.wait(SOON)?;
        client.receive_to_end(SOON)?;
        server.receive_to_end(SOON)?;
        Ok(format!("exit {}, the session has ended", status.code().unwrap_or(-1)))
    };
    second_sigterm: "--drain-timeout=1h: a second SIGTERM" => Differs {
        difference: "drain",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=1h'",
        dormouse: "still running, then exit 0",
    }, |s| {
        let manager = Manager::at_path()?;
        let plan = Plan::new(s).args(["--drain-timeout=1h"]).launch(|l| l.notify(&manager));
        let mut rig = plan.start()?;
        if s == Subject::SocketProxyd {
            return rig.state_after(SOON);
        }
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        rig.subject.signal(Signal::TERM)?;
        manager.wait_for("STATUS", "Waiting for 1 open connection to end...", SOON)?;
        let first = rig.state_after(Duration::ZERO)?;
        exchange(&client, &server)?;
        rig.subject.signal(Signal::TERM)?;
        let status = rig.subject.wait(SOON)?;
        Ok(format!("{first}, then exit {}", status.code().unwrap_or(-1)))
    };

    quiet: "the log of a session" => Same("nothing"), |s| {
        let (mut rig, client, server) = Plan::new(s).args(["--exit-idle-time=50ms"]).start_with_session()?;
        drop((client, server));
        ending(&mut rig.subject, SOON)?;
        let log = log_of(&rig.subject);
        Ok(if log.is_empty() { "nothing".to_owned() } else { log })
    };
    debug: "the log of a session with SYSTEMD_LOG_LEVEL=debug" => Differs {
        difference: "session-log",
        socket_proxyd: "a line at the start",
        dormouse: "a line at the end",
    }, |s| {
        let plan = Plan::new(s).args(["--exit-idle-time=50ms"]);
        let plan = plan.launch(|l| l.env("SYSTEMD_LOG_LEVEL", "debug"));
        let (mut rig, client, server) = plan.start_with_session()?;
        let at_start = rig.subject.stderr().wait_for("New connection from ", start_line_limit(s)).is_ok();
        let before = log_of(&rig.subject);
        drop((client, server));
        ending(&mut rig.subject, SOON)?;
        let after = log_of(&rig.subject);
        let port = rig.back.address().port().to_string();
        Ok(match (at_start, after.len() > before.len() && after.contains(&port)) {
            (true, _) => "a line at the start".to_owned(),
            (false, true) => "a line at the end".to_owned(),
            (false, false) => format!("before {before:?}, after {after:?}"),
        })
    };
    debug_until_sigterm: "the log of a session that SIGTERM ends" => Differs {
        difference: "session-log",
        socket_proxyd: "a line at the start",
        dormouse: "a line at the end, with its bytes",
    }, |s| {
        let plan = Plan::new(s).launch(|l| l.env("SYSTEMD_LOG_LEVEL", "debug"));
        let (mut rig, _client, _server) = plan.start_with_session()?;
        let at_start = rig.subject.stderr().wait_for("New connection from ", start_line_limit(s)).is_ok();
        rig.subject.signal(Signal::TERM)?;
        ending(&mut rig.subject, SOON)?;
        let log = log_of(&rig.subject);
        Ok(match (at_start, log.contains(" 8 bytes up, 8 bytes down: terminated with the process")) {
            (true, _) => "a line at the start".to_owned(),
            (false, true) => "a line at the end, with its bytes".to_owned(),
            (false, false) => log,
        })
    };
    repeated_errors: "three clients of a missing backend (--wait=0)" => Differs {
        difference: "errors-once",
        socket_proxyd: "3 lines",
        dormouse: "1 lines",
    }, |s| {
        let back = Listener::bound(Family::Tcp4)?;
        let plan = Plan::new(s).dormouse_args(["--wait=0"]);
        let mut rig = plan.start_before(back)?;
        for _ in 0..3 {
            rig.client()?.receive_to_end(SOON)?;
        }
        // The log line of a client appears before the drop of the next client, or shortly after.
        rig.subject.stderr().wait_for("\n", SOON)?;
        let state = rig.state_after(A_WHILE)?;
        if state != "still running" {
            return Ok(state);
        }
        Ok(format!("{} lines", rig.subject.stderr().line_count()))
    };
    log_level_unknown: "an invalid log level in the environment" => Same("serves"),
        |s| Plan::new(s).launch(|l| l.env("SYSTEMD_LOG_LEVEL", "loud")).start()?.beginning();
}

/// Returns the time limit for a line at the start of a session, which systemd-socket-proxyd writes and dormouse does not.
fn start_line_limit(subject: Subject) -> Duration {
    match subject {
        Subject::Dormouse => A_WHILE / 2,
        Subject::SocketProxyd => SOON,
    }
}

fn signalled(subject: Subject, signal: Signal) -> Result<String> {
    let mut rig = Plan::new(subject).start()?;
    exchange_once(&rig)?;
    rig.subject.signal(signal)?;
    ending(&mut rig.subject, SOON)
}

fn exchange_once(rig: &crate::rig::Rig) -> Result<()> {
    let (client, server) = rig.session()?;
    exchange(&client, &server)
}

fn drain(subject: Subject) -> Result<String> {
    let manager = Manager::at_path()?;
    let plan = Plan::new(subject).args(["--drain-timeout=1h"]).launch(|l| l.notify(&manager));
    let mut rig = plan.start()?;
    if subject == Subject::SocketProxyd {
        return rig.state_after(SOON);
    }
    let (client, server) = rig.session()?;
    rig.subject.signal(Signal::TERM)?;
    // After this message the program accepts no client.
    manager.wait_for("STATUS", "Waiting for 1 open connection to end...", SOON)?;
    let new_client = rig.client()?;
    exchange(&client, &server)?;
    if let Some(how @ (Ending::Fin | Ending::Reset)) = new_client.ended_within(A_WHILE / 10)? {
        return Ok(format!("new clients are dropped by {how:?}"));
    }
    drop((client, server));
    let status = rig.subject.wait(SOON)?;
    if rig.back.has_pending(Duration::ZERO)? {
        return Ok("new clients are served".to_owned());
    }
    let next = Launch::new(subject).arg(rig.back.address().to_string()).pass(&rig.front).start()?;
    let server = rig.back.accept(SOON).map_err(|failure| next.with_log(&failure))?;
    exchange(&new_client, &server)?;
    let code = status.code().ok_or_else(|| Failure::Unexpected(format!("{status}")))?;
    Ok(format!("continues, new clients stay in the queue, then exit {code}"))
}
