//! A backend in a private network, and a proxy that joins this network with the fewest possible privileges.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use dormouse_tests::{Address, Result, Stream, failure::Doing};

use super::{
    client::{REQUEST_LIMIT, ask, curl, curl_unix},
    machine::{DORMOUSE, Machine, case, ensure, write},
    nginx::{self, Start},
};

case!(System, a_hardened_proxy_joins_the_network_of_the_backend, Duration::from_secs(120), joins_the_backend);

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

/// All sandbox options of systemd that a service with only sockets tolerates.
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
        let held = Stream::connect(&front, REQUEST_LIMIT)?;
        let answer = curl_unix(Path::new("/run/front"), "http://web/?n=unix")?;
        ensure(answer == "unix\n", || format!("over the UNIX socket the answer is {answer:?}"))?;
        ask(&front, round)?;
        expect_isolation(machine)?;
        drop(held);
        machine.wait_inactive(&["proxy.service", "web.service"])?;
        machine.expect("proxy.service", "Result", "success")?;
        machine.expect("proxy.socket", "ActiveState", "active")?;
    }
    Ok(())
}

/// Asserts that proxy and backend share a network that process 1 is not in, and that the proxy has no privileges.
fn expect_isolation(machine: &Machine) -> Result<()> {
    let direct = Stream::connect(&Address::Tcp(([127, 0, 0, 1], 8081).into()), REQUEST_LIMIT);
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
        format!("the proxy's privileges: {status}")
    })?;
    let owner = fs::metadata(format!("/proc/{proxy}")).doing(|| format!("stat {path}"))?.uid();
    ensure(owner != 0, || "the program runs as root".to_owned())
}

/// Returns the inode of a process's network namespace.
fn network(process: u64) -> Result<u64> {
    let path = format!("/proc/{process}/ns/net");
    Ok(fs::metadata(&path).doing(|| format!("stat {path}"))?.ino())
}
