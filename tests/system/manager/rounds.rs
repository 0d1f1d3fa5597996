//! Many rounds of sleep and wake, with clients that connect at the moment of the exit.

use std::{
    thread,
    time::{Duration, Instant},
};

use dormouse_tests::{
    Address, Failure, Result,
    rng::{Rng, seed},
    rounds,
};

use super::{
    client::ask_and_stay,
    machine::{DORMOUSE, Machine, SETTLE, case, ensure, write},
    nginx::{self, Start, Upstream},
};

const LIMIT: Duration = Duration::from_secs(900);

/// The number of rounds if `DORMOUSE_ROUNDS` is not set.
const ROUNDS: u64 = 200;

/// The idle time after which the proxy exits.
const IDLE: Duration = Duration::from_millis(20);

case!(User, user_manager_with_nginx_on_tcp, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Tcp,
    rounds(ROUNDS)?
));

case!(User, user_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Unix,
    rounds(ROUNDS)?
));

case!(System, system_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| no_request_fails(
    machine,
    Upstream::Unix,
    rounds(ROUNDS)?.div_ceil(4)
));

/// The results of the requests that were sent around the moment of the exit.
#[derive(Default)]
struct Tally {
    /// The rounds in which the process of the first request served them.
    awake: u64,
    /// The rounds in which a new process was started.
    woken: u64,
}

/// Three units: a socket, the proxy, and its nginx. The rounds alternate between several lanes because the manager
/// stops an unneeded unit at most 16 times in 10 s.
struct Lane {
    socket: String,
    proxy: String,
    web: String,
    front: Address,
}

/// The number of the first instance of the template units; the number is a part of the port.
const FIRST_LANE: u16 = 10;

const LANES: u16 = 25;

impl Lane {
    fn new(number: u16) -> Self {
        Self {
            socket: format!("proxy@{number}.socket"),
            proxy: format!("proxy@{number}.service"),
            web: format!("web@{number}.service"),
            front: Address::Tcp(([127, 0, 0, 1], 8000 + number).into()),
        }
    }

    fn wait_for_sleep(&self, machine: &Machine) -> Result<()> {
        machine.wait_inactive(&[&self.proxy, &self.web])?;
        machine.expect(&self.proxy, "Result", "success")?;
        machine.wait(&self.socket, "SubState", "listening", SETTLE)
    }
}

fn no_request_fails(machine: &Machine, upstream: Upstream, rounds: u64) -> Result<()> {
    let seed = seed()?;
    println!("{rounds} rounds with DORMOUSE_SEED={seed:#x}");
    let lanes = set_up(machine, upstream)?;
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let mut number = 0;
    let started = Instant::now();
    for (round, lane) in (0..rounds).zip(lanes.iter().cycle()) {
        one_round(machine, lane, &mut rng, &mut tally, &mut number)
            .map_err(|failure| Failure::Unexpected(format!("round {round}: {failure}")))?;
    }
    for lane in &lanes {
        machine.expect(&lane.proxy, "NRestarts", "0")?;
    }
    let Tally { awake, woken } = tally;
    println!(
        "{number} requests; around the exit {awake} rounds met the old process, {woken} a new one; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A run whose requests were all too early, or all too late, does not test the moment of the exit.
    let enough = rounds / 20;
    ensure(awake >= enough && woken >= enough, || {
        format!("of {rounds} rounds {awake} met the old process and {woken} a new one: too one-sided")
    })
}

/// The start and trigger limits are off: the test wakes the units in quick succession, and a manager that reaches
/// its limits closes the socket permanently.
fn set_up(machine: &Machine, upstream: Upstream) -> Result<Vec<Lane>> {
    let target = match upstream {
        Upstream::Tcp => "127.0.0.1:90%i",
        Upstream::Unix => "%t/web-%i/socket",
    };
    let proxy = format!(
        "\
[Unit]
Requires=web@%i.service proxy@%i.socket
After=web@%i.service proxy@%i.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy --exit-idle-time={}ms {target}
",
        IDLE.as_millis(),
    );
    let web = "\
[Unit]
StopWhenUnneeded=yes
StartLimitIntervalSec=0
[Service]
Type=exec
RuntimeDirectory=web-%i
ExecStart=/usr/sbin/nginx -e stderr -c %t/nginx-%i.conf
";
    let socket = "[Socket]\nListenStream=127.0.0.1:80%i\nTriggerLimitIntervalSec=0\n";
    machine.install(&[("web@.service", web), ("proxy@.service", &proxy), ("proxy@.socket", socket)])?;

    let runtime = machine.runtime();
    let lanes: Vec<_> = (FIRST_LANE..FIRST_LANE + LANES).map(Lane::new).collect();
    for (number, lane) in (FIRST_LANE..).zip(&lanes) {
        let dir = runtime.join(format!("web-{number}"));
        let listen = match upstream {
            Upstream::Tcp => format!("127.0.0.1:{}", 9000 + number),
            Upstream::Unix => format!("unix:{}/socket", dir.display()),
        };
        let configuration = nginx::configuration(&dir, &listen, Start::Quick);
        write(&runtime.join(format!("nginx-{number}.conf")), &configuration)?;
        machine.systemctl(&["start", &lane.socket])?;
    }
    Ok(lanes)
}

fn one_round(
    machine: &Machine,
    lane: &Lane,
    rng: &mut Rng,
    tally: &mut Tally,
    number: &mut u64,
) -> Result<()> {
    let mut fresh = || {
        *number += 1;
        *number
    };
    // The open session keeps the proxy awake during these checks.
    let client = ask_and_stay(&lane.front, fresh())?;
    let process = machine.number(&lane.proxy, "ExecMainPID")?;
    drop(client);
    let answered = Instant::now();

    // Half of the rounds aim at the exit itself, the others at any time from before it to the end of nginx's stop.
    let window = if rng.chance(50) { Duration::from_millis(6) } else { Duration::from_millis(60) };
    let start = if window < IDLE { IDLE.saturating_sub(window / 3) } else { Duration::ZERO };
    let at = answered + start + rng.duration(window);
    let extra = if rng.chance(70) { 1 } else { 2 + rng.below(7) };
    let clients: Vec<_> = (0..extra)
        .map(|_| {
            let (front, number) = (lane.front.clone(), fresh());
            let at = at + rng.duration(Duration::from_micros(500));
            thread::spawn(move || {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                ask_and_stay(&front, number)
            })
        })
        .collect();
    let mut stay = Vec::new();
    for client in clients {
        stay.push(client.join().map_err(|_| Failure::Unexpected("a client panicked".to_owned()))??);
    }
    if machine.number(&lane.proxy, "ExecMainPID")? == process {
        tally.awake += 1;
    } else {
        tally.woken += 1;
    }
    drop(stay);

    lane.wait_for_sleep(machine)
}
