//! Falling asleep and waking up again, over and over, with visitors in the very moment of the exit.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use dormouse_tests::{
    Address, Failure, Result,
    rng::{Rng, seed},
};

use super::{
    machine::{DORMOUSE, Machine, SETTLE, case, ensure},
    nginx::{self, Start, Upstream, WEB_SERVICE},
    visitor::ask,
};

const LIMIT: Duration = Duration::from_secs(900);

/// How many rounds there are, unless `DORMOUSE_ROUNDS` says otherwise.
const ROUNDS: u64 = 200;

/// How long the program waits for another visitor.
const IDLE: Duration = Duration::from_millis(20);

case!(User, user_manager_with_nginx_on_tcp, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Tcp,
    rounds(1)?
));

case!(User, user_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Unix,
    rounds(1)?
));

case!(System, system_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Unix,
    rounds(4)?
));

fn rounds(divisor: u64) -> Result<u64> {
    let all = match env::var("DORMOUSE_ROUNDS") {
        Ok(text) => {
            text.parse().map_err(|_| Failure::Unexpected(format!("DORMOUSE_ROUNDS={text} is no number")))?
        }
        Err(_) => ROUNDS,
    };
    Ok((all / divisor).max(1))
}

/// What met the requests that were sent around the moment of the exit.
#[derive(Default)]
struct Tally {
    /// The program that served the round's first request was still there.
    awake: u64,
    /// A new one had to be started.
    woken: u64,
}

fn no_request_fails(machine: &Machine, upstream: Upstream, rounds: u64) -> Result<()> {
    let seed = seed()?;
    println!("{rounds} rounds with DORMOUSE_SEED={seed:#x}");
    set_up(machine, upstream)?;
    let front = Address::Tcp(([127, 0, 0, 1], 8080).into());
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let mut number = 0;
    let started = Instant::now();
    for round in 0..rounds {
        one_round(machine, &front, &mut rng, &mut tally, &mut number)
            .map_err(|failure| Failure::Unexpected(format!("round {round}: {failure}")))?;
    }
    machine.expect("proxy.socket", "SubState", "listening")?;
    machine.expect("proxy.service", "NRestarts", "0")?;
    let Tally { awake, woken } = tally;
    println!(
        "{number} requests; around the exit {awake} rounds met the old process, {woken} a new one; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A run whose requests all came too early, or all too late, would have tested something else.
    let enough = rounds / 20;
    ensure(awake >= enough && woken >= enough, || {
        format!("of {rounds} rounds {awake} met the old process and {woken} a new one: too one-sided")
    })
}

/// The start and trigger limits are off: 200 wakings in a minute are what this is about, and a manager that meets its
/// limits closes the socket for good.
fn set_up(machine: &Machine, upstream: Upstream) -> Result<()> {
    nginx::configure(machine, upstream, Start::Quick)?;
    let proxy = format!(
        "\
[Unit]
Requires=web.service proxy.socket
After=web.service proxy.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy --exit-idle-time={}ms {}
",
        IDLE.as_millis(),
        upstream.target()
    );
    let socket = "[Socket]\nListenStream=127.0.0.1:8080\nTriggerLimitIntervalSec=0\n";
    machine.install(&[("web.service", WEB_SERVICE), ("proxy.service", &proxy), ("proxy.socket", socket)])?;
    machine.systemctl(&["start", "proxy.socket"]).map(drop)
}

fn one_round(
    machine: &Machine,
    front: &Address,
    rng: &mut Rng,
    tally: &mut Tally,
    number: &mut u64,
) -> Result<()> {
    let mut fresh = || {
        *number += 1;
        *number
    };
    ask(front, fresh())?;
    let answered = Instant::now();
    let process = machine.number("proxy.service", "ExecMainPID")?;

    // Half of the rounds aim at the exit itself, the others at anything from before it to the end of nginx' stop.
    let window = if rng.chance(50) { Duration::from_millis(6) } else { Duration::from_millis(60) };
    let start = if window < IDLE { IDLE.saturating_sub(window / 3) } else { Duration::ZERO };
    let at = answered + start + rng.duration(window);
    let crowd = if rng.chance(70) { 1 } else { 2 + rng.below(7) };
    let visitors: Vec<_> = (0..crowd)
        .map(|_| {
            let (front, number) = (front.clone(), fresh());
            let at = at + rng.duration(Duration::from_micros(500));
            thread::spawn(move || {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                ask(&front, number)
            })
        })
        .collect();
    for visitor in visitors {
        visitor.join().map_err(|_| Failure::Unexpected("a visitor panicked".to_owned()))??;
    }
    if machine.number("proxy.service", "ExecMainPID")? == process {
        tally.awake += 1;
    } else {
        tally.woken += 1;
    }

    machine.wait_inactive(&["proxy.service", "web.service"])?;
    machine.expect("proxy.service", "Result", "success")?;
    machine.wait("proxy.socket", "SubState", "listening", SETTLE)
}
