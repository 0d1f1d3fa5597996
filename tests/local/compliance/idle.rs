//! The exit after the idle time.

use std::time::{Duration, Instant};

use dormouse_tests::wait::{LIMIT, SOON};
use dormouse_tests::{Family, Listener, Result, Subject, scaled};

use crate::case::Expect::{Differs, Same};
use crate::case::cases;
use crate::rig::{Plan, Rig, ending, exchange};

/// The idle time of most cases.
const SPAN: Duration = Duration::from_millis(200);
const IDLE: &str = "--exit-idle-time=200ms";

cases! {
    from_start: "no client ever connects" => Differs {
        difference: "idle-from-start",
        socket_proxyd: "still running",
        dormouse: "exit 0",
    }, |s| Plan::new(s).args([IDLE]).start()?.state_after(match s {
        Subject::Dormouse => LIMIT,
        Subject::SocketProxyd => SPAN * 4,
    });
    not_asked: "the last session ends, without --exit-idle-time" => Same("still running"), |s| {
        let mut rig = Plan::new(s).start()?;
        one_session(&rig)?;
        rig.state_after_next_session()
    };
    infinity: "the last session ends, --exit-idle-time=infinity" => Same("still running"), |s| {
        let mut rig = Plan::new(s).args(["--exit-idle-time=infinity"]).start()?;
        one_session(&rig)?;
        rig.state_after_next_session()
    };
    after_last: "the only session ends" => Same("exit 0 after the idle time"), |s| {
        let (mut rig, client, server) = Plan::new(s).args([IDLE]).start_with_session()?;
        let end = Instant::now();
        drop((client, server));
        let how = rig.state_after(SOON)?;
        let took = end.elapsed();
        Ok(if took >= SPAN { format!("{how} after the idle time") } else { format!("{how} after {took:?}") })
    };
    after_last_of_two: "one of two sessions ends" => Same("still running, then exit 0"), |s| {
        let (mut rig, client, server) = Plan::new(s).args([IDLE]).start_with_session()?;
        let second = rig.session()?;
        drop((client, server));
        let while_one = rig.state_after(SPAN * 3 / 2)?;
        exchange(&second.0, &second.1)?;
        drop(second);
        Ok(format!("{while_one}, then {}", rig.state_after(SOON)?))
    };
    silent_session: "an open session without data" => Same("still running"), |s| {
        let (mut rig, _client, _server) = Plan::new(s).args([IDLE]).start_with_session()?;
        rig.state_after(SPAN * 3 / 2)
    };
    disarmed: "a client connects before the end of the idle time" => Same("still running"), |s| {
        let (mut rig, client, server) = Plan::new(s).args([IDLE]).start_with_session()?;
        drop((client, server));
        let _open = rig.session()?;
        rig.state_after(SPAN * 3 / 2)
    };
    after_failed_connect: "the only client could not be connected (--wait=0)" => Same("exit 0: *"), |s| {
        let back = Listener::bound(Family::Tcp4)?;
        let mut rig = Plan::new(s).args([IDLE]).dormouse_args(["--wait=0"]).start_before(back)?;
        rig.client()?.receive_to_end(SOON)?;
        rig.state_after(SOON)
    };
    zero: "--exit-idle-time=0 and a client that connected before the start" => Same("serves, then exit 0 at once"), |s| {
        let (mut rig, client, server) = Plan::new(s).args(["--exit-idle-time=0"]).start_with_session()?;
        let end = Instant::now();
        drop((client, server));
        let how = ending(&mut rig.subject, SOON)?;
        let when = if end.elapsed() < SOON / 2 { "at once" } else { "late" };
        Ok(format!("serves, then {how} {when}"))
    };
    queue_survives: "a client in the queue when the program ends, and a new program" => Same("served by the next process"),
        |s| {
            let (mut rig, client, server) = Plan::new(s).args([IDLE]).start_with_session()?;
            drop((client, server));
            ending(&mut rig.subject, SOON)?;
            let Rig { subject, front, back } = rig;
            drop(subject);
            Plan::new(s).start_between_with_session(front, back)?;
            Ok("served by the next process".to_owned())
        };
    while_held: "a client waits for the backend longer than the idle time" => Differs {
        difference: "hold",
        socket_proxyd: "dropped",
        dormouse: "held, then served",
    }, |s| {
        let rig = Plan::new(s).args([IDLE]).start_before(Listener::bound(Family::Tcp4)?)?;
        let client = rig.client()?;
        if client.ended_within(SPAN * 3 / 2)?.is_some() {
            return Ok("dropped".to_owned());
        }
        rig.back.listen(16)?;
        let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
        exchange(&client, &server)?;
        Ok("held, then served".to_owned())
    };
}

fn one_session(rig: &Rig) -> Result<()> {
    let (client, server) = rig.session()?;
    exchange(&client, &server)?;
    drop(client);
    server.receive_to_end(SOON)?;
    Ok(())
}

/// A client that connects at the moment of the exit is served by this process or the next, and never dropped.
#[test]
fn no_client_is_lost_at_the_exit() {
    let verdict = race_with_exit();
    assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
}

fn race_with_exit() -> Result<()> {
    let mut front = Listener::bind(Family::Unix)?;
    let mut back = Listener::bind(Family::Unix)?;
    let rounds = scaled(8, 40) as u64;
    for round in 0..rounds {
        let plan = Plan::new(Subject::Dormouse).args(["--exit-idle-time=20ms"]);
        let (mut rig, client, server) = plan.start_between_with_session(front, back)?;
        drop(client);
        server.receive_to_end(SOON)?;
        // Around the moment of the exit, a little later each round.
        let aim = Duration::from_micros(18_000 + 4000 * round / rounds);
        let _ = rig.subject.wait(aim);
        let client = rig.client()?;
        let mut next = None;
        let server = dormouse_tests::wait::until("service at the moment of the exit", SOON, || {
            if next.is_none() && !rig.subject.is_running()? {
                let launch = dormouse_tests::Launch::new(Subject::Dormouse);
                next = Some(launch.arg(rig.back.address().to_string()).pass(&rig.front).start()?);
            }
            Ok(if rig.back.has_pending(Duration::ZERO)? { Some(rig.back.accept(SOON)?) } else { None })
        })?;
        exchange(&client, &server)?;
        (front, back) = (rig.front, rig.back);
    }
    Ok(())
}
