//! The proxy sleeps, wakes on a connection, and sleeps again when it is idle.

use std::time::{Duration, Instant};

use dormouse_tests::{Address, Result, Stream};

use super::{
    client::{REQUEST_LIMIT, ask, curl, curl_unix},
    machine::{DORMOUSE, Machine, SETTLE, case, ensure},
    nginx::{self, Start, Upstream, WEB_SERVICE},
};

const LIMIT: Duration = Duration::from_secs(120);

case!(User, user_manager_with_nginx_on_tcp, LIMIT, |machine| sleeps_and_wakes(machine, Upstream::Tcp));

case!(User, user_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| sleeps_and_wakes(
    machine,
    Upstream::Unix
));

case!(System, system_manager_with_nginx_on_tcp, LIMIT, |machine| sleeps_and_wakes(machine, Upstream::Tcp));

case!(System, system_manager_with_nginx_on_a_unix_socket, LIMIT, |machine| sleeps_and_wakes(
    machine,
    Upstream::Unix
));

const PROXY_SOCKET: &str = "\
[Socket]
ListenStream=127.0.0.1:8080
ListenStream=[::1]:8080
ListenStream=%t/front
TriggerLimitIntervalSec=0
";

fn sleeps_and_wakes(machine: &Machine, upstream: Upstream) -> Result<()> {
    nginx::configure(machine, upstream, Start::Slow)?;
    let proxy = format!(
        "\
[Unit]
Requires=web.service proxy.socket
After=web.service proxy.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy --exit-idle-time=300ms {}
",
        upstream.target()
    );
    machine.install(&[
        ("web.service", WEB_SERVICE),
        ("proxy.service", &proxy),
        ("proxy.socket", PROXY_SOCKET),
    ])?;
    machine.systemctl(&["start", "proxy.socket"])?;
    let front = Address::Tcp(([127, 0, 0, 1], 8080).into());
    let unix = machine.runtime().join("front");

    for round in 0..3 {
        machine.wait_inactive(&["proxy.service", "web.service"])?;
        machine.wait("proxy.socket", "SubState", "listening", SETTLE)?;

        let asked = Instant::now();
        let answer = curl(&format!("http://127.0.0.1:8080/?n=first-{round}"))?;
        let waited = asked.elapsed();
        ensure(answer == format!("first-{round}\n"), || format!("the first answer is {answer:?}"))?;
        ensure(waited > Duration::from_millis(100), || {
            format!("nginx is not slow: it answered after {waited:?}, so that the test proves nothing")
        })?;

        // An open session keeps both units awake while other clients connect and leave.
        let held = Stream::connect(&front, REQUEST_LIMIT)?;
        let answer = curl("http://[::1]:8080/?n=v6")?;
        ensure(answer == "v6\n", || format!("over IPv6 the answer is {answer:?}"))?;
        let answer = curl_unix(&unix, "http://web/?n=unix")?;
        ensure(answer == "unix\n", || format!("over the UNIX socket the answer is {answer:?}"))?;
        for unit in ["proxy.socket", "proxy.service", "web.service"] {
            machine.expect(unit, "ActiveState", "active")?;
        }
        drop(held);
        // The next client connects without waiting for the sleep.
        ask(&front, round)?;
    }

    machine.wait_inactive(&["proxy.service", "web.service"])?;
    machine.expect("proxy.socket", "ActiveState", "active")?;
    machine.expect("proxy.service", "Result", "success")?;
    machine.expect("proxy.service", "ExecMainStatus", "0")?;
    machine.expect("proxy.service", "NRestarts", "0")?;
    machine.expect("web.service", "Result", "success")
}
