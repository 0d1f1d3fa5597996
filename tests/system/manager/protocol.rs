//! The protocol between the proxy and the service manager.

use std::{fs, time::Duration};

use dormouse_tests::{Address, Failure, Result, Stream, failure::Doing, wait};

use super::{
    client::{REQUEST_LIMIT, ask, receive_answer, send_request},
    machine::{DORMOUSE, Machine, SETTLE, case, ensure},
    nginx::{self, Start, Upstream, WEB_SERVICE},
};

const LIMIT: Duration = Duration::from_secs(120);

case!(User, ready_and_status_under_the_user_manager, LIMIT, ready_and_status);

case!(System, ready_and_status_under_the_system_manager, LIMIT, ready_and_status);

case!(User, watchdog_under_the_user_manager, LIMIT, watchdog);

case!(System, watchdog_under_the_system_manager, LIMIT, watchdog);

case!(
    User,
    a_service_instance_per_connection_under_the_user_manager,
    LIMIT,
    a_service_instance_per_connection
);

case!(
    System,
    a_service_instance_per_connection_under_the_system_manager,
    LIMIT,
    a_service_instance_per_connection
);

case!(User, many_named_listeners_under_the_user_manager, LIMIT, many_named_listeners);

case!(System, many_named_listeners_under_the_system_manager, LIMIT, many_named_listeners);

fn front() -> Address {
    Address::Tcp(([127, 0, 0, 1], 8080).into())
}

/// A proxy unit that does not require the web server: its target may be missing.
fn lone_service(extra: &str) -> String {
    format!(
        "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy %t/web/socket
{extra}"
    )
}

const SOCKET: &str = "[Socket]\nListenStream=127.0.0.1:8080\nTriggerLimitIntervalSec=0\n";

/// `Type=notify`: `systemctl start` succeeds only after READY=1, which the proxy sends without a backend.
fn ready_and_status(machine: &Machine) -> Result<()> {
    machine.install(&[("proxy.service", &lone_service("")), ("proxy.socket", SOCKET)])?;
    machine.systemctl(&["start", "proxy.socket", "proxy.service"])?;
    machine.expect("proxy.service", "SubState", "running")?;
    let while_idle = machine.property("proxy.service", "StatusText")?;
    ensure(!while_idle.is_empty(), || "there is no status text".to_owned())?;

    let held = Stream::connect(&front(), REQUEST_LIMIT)?;
    let with_one = wait::until("status text with a session", SETTLE, || {
        let text = machine.property("proxy.service", "StatusText")?;
        Ok((text != while_idle && text.contains('1')).then_some(text))
    })?;
    drop(held);
    wait::until("status text without the session", SETTLE, || {
        Ok((machine.property("proxy.service", "StatusText")? != with_one).then_some(()))
    })?;
    machine.systemctl(&["stop", "proxy.service"])?;
    machine.expect("proxy.service", "Result", "success")
}

/// The proxy sends keep-alive pings in time, and the manager notices when they stop.
fn watchdog(machine: &Machine) -> Result<()> {
    let service = lone_service("WatchdogSec=1s\n");
    machine.install(&[("proxy.service", &service), ("proxy.socket", SOCKET)])?;
    machine.systemctl(&["start", "proxy.socket", "proxy.service"])?;
    let mut last_ping = machine.number("proxy.service", "WatchdogTimestampMonotonic")?;
    for _ in 0..4 {
        last_ping = wait::until("watchdog ping", SETTLE, || {
            let now = machine.number("proxy.service", "WatchdogTimestampMonotonic")?;
            Ok((now > last_ping).then_some(now))
        })?;
    }
    machine.expect("proxy.service", "ActiveState", "active")?;
    machine.expect("proxy.service", "NRestarts", "0")?;

    machine.systemctl(&["kill", "--signal=STOP", "proxy.service"])?;
    machine.wait("proxy.service", "Result", "watchdog", SETTLE)
}

/// `Accept=yes`: each connection gets its own instance, which receives the connected socket and exits with success
/// after the session.
fn a_service_instance_per_connection(machine: &Machine) -> Result<()> {
    nginx::configure(machine, Upstream::Unix, Start::Quick)?;
    let service = lone_service("").replace("[Unit]\n", "[Unit]\nRequires=web.service\nAfter=web.service\n");
    let socket = "\
[Socket]
Accept=yes
ListenStream=127.0.0.1:8080
ListenStream=%t/front
TriggerLimitIntervalSec=0
";
    let web = WEB_SERVICE.replace("StopWhenUnneeded=yes\n", "");
    machine.install(&[("web.service", &web), ("proxy@.service", &service), ("proxy.socket", socket)])?;
    machine.systemctl(&["start", "proxy.socket"])?;

    let unix = Address::Unix(machine.runtime().join("front"));
    for (number, at) in [front(), unix, front()].into_iter().enumerate() {
        ask(&at, number as u64)?;
    }
    // Two connections at the same time are two instances.
    let sessions = [Stream::connect(&front(), REQUEST_LIMIT)?, Stream::connect(&front(), REQUEST_LIMIT)?];
    wait::until("two instances", SETTLE, || Ok((instances(machine, "active")? == 2).then_some(())))?;
    for (number, session) in sessions.iter().enumerate() {
        send_request(session, number as u64)?;
        receive_answer(session, number as u64)?;
    }
    drop(sessions);
    wait::until("end of all instances", SETTLE, || {
        let left = instances(machine, "active,activating,deactivating")?;
        Ok((left == 0).then_some(()))
    })?;
    // The manager lists failed instances and forgets instances that succeeded.
    let failed = instances(machine, "failed")?;
    ensure(failed == 0, || format!("{failed} instances failed"))?;
    machine.wait("proxy.socket", "NConnections", "0", SETTLE)?;
    machine.expect("proxy.socket", "NAccepted", "5")
}

/// Returns the number of instances of the template in one of these states.
fn instances(machine: &Machine, states: &str) -> Result<usize> {
    let list = machine.systemctl(&[
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        &format!("--state={states}"),
        "proxy@*.service",
    ])?;
    Ok(list.lines().count())
}

/// Two socket units with names for one service, with all address families.
fn many_named_listeners(machine: &Machine) -> Result<()> {
    nginx::configure(machine, Upstream::Tcp, Start::Quick)?;
    let service = format!(
        "\
[Unit]
Requires=web.service
After=web.service
StartLimitIntervalSec=0
[Service]
Type=notify
Sockets=plain.socket named.socket
ExecStart={DORMOUSE} proxy 127.0.0.1:8081
"
    );
    let plain = "\
[Socket]
ListenStream=127.0.0.1:8080
ListenStream=[::1]:8080
Service=proxy.service
TriggerLimitIntervalSec=0
";
    let named = "\
[Socket]
ListenStream=%t/front
ListenStream=@dormouse-front
FileDescriptorName=front
Service=proxy.service
TriggerLimitIntervalSec=0
";
    machine.install(&[
        ("web.service", WEB_SERVICE),
        ("proxy.service", &service),
        ("plain.socket", plain),
        ("named.socket", named),
    ])?;
    machine.systemctl(&["start", "plain.socket", "named.socket"])?;

    let fronts = [
        Address::Abstract("dormouse-front".to_owned()),
        Address::Unix(machine.runtime().join("front")),
        Address::Tcp(([127, 0, 0, 1], 8080).into()),
        Address::Tcp((std::net::Ipv6Addr::LOCALHOST, 8080).into()),
    ];
    for (number, at) in fronts.iter().enumerate() {
        ask(at, number as u64).map_err(|failure| Failure::Unexpected(format!("{at}: {failure}")))?;
    }

    let process = machine.number("proxy.service", "MainPID")?;
    let path = format!("/proc/{process}/environ");
    let environment = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let passed = environment.split('\0').find_map(|variable| variable.strip_prefix("LISTEN_FDNAMES="));
    let mut passed: Vec<_> = passed.unwrap_or_default().split(':').collect();
    passed.sort_unstable();
    ensure(passed == ["front", "front", "plain.socket", "plain.socket"], || {
        format!("the manager passed sockets of the names {passed:?}")
    })
}
