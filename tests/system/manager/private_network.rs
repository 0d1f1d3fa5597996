//! A backend in a network of its own, and a program that joins it there with as few rights as it can have.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use dormouse_tests::{Address, Result, Stream, failure::Doing};

use super::{
    machine::{DORMOUSE, Machine, case, ensure, write},
    nginx::{self, Start},
    visitor::{PATIENCE, ask, curl, curl_unix},
};

case!(System, hardened_in_the_network_of_the_backend, Duration::from_secs(120), joins_the_backend);

const WEB_SERVICE: &str = "\
[Unit]
StopWhenUnneeded=yes
StartLimitIntervalSec=0
[Service]
Type=exec
PrivateNetwork=yes
PrivateTmp=yes
DynamicUser=yes
RuntimeDirectory=web
ExecStart=/usr/sbin/nginx -e stderr -c /etc/web/nginx.conf
";

/// All that systemd can take from a service that needs nothing but its sockets.
const HARDENING: &str = "\
PrivateNetwork=yes
PrivateTmp=yes
DynamicUser=yes
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
";

fn joins_the_backend(machine: &Machine) -> Result<()> {
    let configuration = nginx::configuration(Path::new("/run/web"), "127.0.0.1:8081", Start::Slow);
    write(Path::new("/etc/web/nginx.conf"), &configuration)?;
    let proxy = format!(
        "\
[Unit]
Requires=web.service proxy.socket
After=web.service proxy.socket
JoinsNamespaceOf=web.service
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} proxy --connections-max=2000 --exit-idle-time=300ms 127.0.0.1:8081
{HARDENING}"
    );
    let socket = "\
[Socket]
ListenStream=127.0.0.1:8080
ListenStream=/run/front
TriggerLimitIntervalSec=0
";
    machine.install(&[("web.service", WEB_SERVICE), ("proxy.service", &proxy), ("proxy.socket", socket)])?;
    machine.systemctl(&["start", "proxy.socket"])?;
    let front = Address::Tcp(([127, 0, 0, 1], 8080).into());

    for round in 0..2 {
        let answer = curl("http://127.0.0.1:8080/?n=tcp")?;
        ensure(answer == "tcp\n", || format!("over TCP the answer is {answer:?}"))?;
        let held = Stream::connect(&front, PATIENCE)?;
        let answer = curl_unix(Path::new("/run/front"), "http://web/?n=unix")?;
        ensure(answer == "unix\n", || format!("over the UNIX socket the answer is {answer:?}"))?;
        ask(&front, round)?;
        together_and_apart(machine)?;
        drop(held);
        machine.wait_inactive(&["proxy.service", "web.service"])?;
        machine.expect("proxy.service", "Result", "success")?;
        machine.expect("proxy.socket", "ActiveState", "active")?;
    }
    Ok(())
}

/// The two are in one network and we are not; and the program has lost what it was to lose.
fn together_and_apart(machine: &Machine) -> Result<()> {
    let direct = Stream::connect(&Address::Tcp(([127, 0, 0, 1], 8081).into()), PATIENCE);
    ensure(direct.is_err(), || "the backend can be reached from outside its network".to_owned())?;

    let proxy = machine.number("proxy.service", "MainPID")?;
    let web = machine.number("web.service", "MainPID")?;
    let (proxys, webs, ours) = (network(proxy)?, network(web)?, network(1)?);
    ensure(proxys == webs && proxys != ours, || {
        format!("the networks: proxy {proxys}, web {webs}, process 1 {ours}")
    })?;

    let path = format!("/proc/{proxy}/status");
    let status = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let has = |key: &str, value: &str| {
        status.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim() == value))
    };
    ensure(has("CapEff:", "0000000000000000") && has("Seccomp:", "2") && has("NoNewPrivs:", "1"), || {
        format!("the program's rights: {status}")
    })?;
    let owner = fs::metadata(format!("/proc/{proxy}")).doing(|| format!("look at {path}"))?.uid();
    ensure(owner != 0, || "the program runs as root".to_owned())
}

/// Which network namespace a process is in.
fn network(process: u64) -> Result<u64> {
    let path = format!("/proc/{process}/ns/net");
    Ok(fs::metadata(&path).doing(|| format!("look at {path}"))?.ino())
}
