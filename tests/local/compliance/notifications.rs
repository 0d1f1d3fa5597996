//! Notifications to the service manager.

use std::time::Duration;

use dormouse_tests::notify::Manager;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Result, Subject};

use crate::case::Expect::{ChangedAndDiffers, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, end_limit, ending, exchange};

cases! {
    ready: "at the start" => ChangedAndDiffers {
        difference: "status-text",
        v252: "nothing",
        v261: "READY=1 STATUS=Processing requests...",
        dormouse: "READY=1 STATUS=*",
    }, |s| {
        let manager = Manager::at_path()?;
        let _rig = Plan::new(s).launch(|l| l.notify(&manager)).start()?;
        notification(&manager, "READY", end_limit(s))
    };
    ready_abstract: "at the start, to an abstract socket" => ChangedAndDiffers {
        difference: "status-text",
        v252: "nothing",
        v261: "READY=1 STATUS=Processing requests...",
        dormouse: "READY=1 STATUS=*",
    }, |s| {
        let manager = Manager::at_abstract_name()?;
        let _rig = Plan::new(s).launch(|l| l.notify(&manager)).start()?;
        notification(&manager, "READY", end_limit(s))
    };
    ready_means_serving: "after READY=1" => Same("serves"), |s| {
        let manager = Manager::at_path()?;
        let mut rig = Plan::new(s).launch(|l| l.notify(&manager)).start()?;
        notification(&manager, "READY", end_limit(s))?;
        rig.beginning()
    };
    stopping: "at the idle exit" => ChangedAndDiffers {
        difference: "status-text",
        v252: "nothing",
        v261: "STOPPING=1 STATUS=Shutting down...",
        dormouse: "STOPPING=1 *",
    }, |s| {
        let manager = Manager::at_path()?;
        let plan = Plan::new(s).args(["--exit-idle-time=100ms"]).launch(|l| l.notify(&manager));
        let (mut rig, client, server) = plan.start_with_session()?;
        drop((client, server));
        ending(&mut rig.subject, SOON)?;
        notification(&manager, "STOPPING", end_limit(s))
    };
    error_number: "with an invalid command line" => Same("ERRNO=22*"), |s| {
        let manager = Manager::at_path()?;
        let mut rig = Plan::new(s).args(["-c0"]).launch(|l| l.notify(&manager)).start()?;
        ending(&mut rig.subject, SOON)?;
        notification(&manager, "ERRNO", SOON)
    };
    no_listener: "NOTIFY_SOCKET without a listener" => Same("serves"),
        |s| Plan::new(s).launch(|l| l.env("NOTIFY_SOCKET", "/run/no-such-directory/n")).start()?.beginning();
    invalid_address: "NOTIFY_SOCKET is not an address" => Same("serves"),
        |s| Plan::new(s).launch(|l| l.env("NOTIFY_SOCKET", "nonsense")).start()?.beginning();

    watchdog: "WATCHDOG_USEC is set" => Same("repeatedly"), |s| {
        let manager = Manager::at_path()?;
        let launch = |l: dormouse_tests::Launch| l.notify(&manager).env("WATCHDOG_USEC", "200000");
        let _rig = Plan::new(s).launch(launch).start()?;
        watchdog(&manager, SOON)
    };
    watchdog_of_another: "WATCHDOG_PID of another process" => Same("never"), |s| {
        let manager = Manager::at_path()?;
        let launch = |l: dormouse_tests::Launch| {
            l.notify(&manager).env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1")
        };
        let _rig = Plan::new(s).launch(launch).start()?;
        watchdog(&manager, A_WHILE * 2)
    };
}

/// Returns the message that assigns `key` as one line, or `nothing` if none arrives.
fn notification(manager: &Manager, key: &str, limit: Duration) -> Result<String> {
    match manager.wait_until(key, limit, |message| message.get(key).is_some()) {
        Ok(message) => Ok(message.text.trim_end().replace('\n', " ")),
        Err(failure) if failure.is_timeout() => Ok("nothing".to_owned()),
        Err(failure) => Err(failure),
    }
}

fn watchdog(manager: &Manager, limit: Duration) -> Result<String> {
    let times = |message: &dormouse_tests::notify::Message| message.get("WATCHDOG") == Some("1");
    let third = || manager.messages().iter().filter(|message| times(message)).count() >= 3;
    let seen = dormouse_tests::wait::until("three watchdog messages", limit, || Ok(third().then_some(())));
    match seen {
        Ok(()) => Ok("repeatedly".to_owned()),
        Err(failure) if failure.is_timeout() => {
            let count = manager.messages().iter().filter(|message| times(message)).count();
            Ok(if count == 0 { "never".to_owned() } else { format!("{count} times") })
        }
        Err(failure) => Err(failure),
    }
}

/// STATUS= follows the number of sessions, at most once per second.
#[test]
fn status_follows_sessions() {
    let verdict = status();
    assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
}

fn status() -> Result<()> {
    let manager = Manager::at_path()?;
    let rig = Plan::new(Subject::Dormouse).launch(|l| l.notify(&manager)).start()?;
    manager.wait_for("READY", "1", SOON).map_err(|failure| rig.subject.with_log(&failure))?;
    let already = manager.messages().len();
    let sessions = (0..3).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    for (client, server) in &sessions {
        exchange(client, server)?;
    }
    let has_three = |message: &dormouse_tests::notify::Message| {
        message.get("STATUS").is_some_and(|status| status.contains('3'))
    };
    manager.wait_until("STATUS= with three sessions", SOON, has_three)?;
    let times: Vec<_> = manager.messages().iter().skip(already).map(|message| message.at).collect();
    for pair in times.windows(2) {
        if let [one, next] = pair {
            // The reader thread that records the times may be late.
            let apart = next.duration_since(*one);
            if apart < Duration::from_millis(500) {
                let what = format!("two STATUS= messages {apart:?} apart");
                return Err(dormouse_tests::Failure::Unexpected(what));
            }
        }
    }
    Ok(())
}
