//! The life cycle of a container: the first request starts it, it answers, and without requests it stops; repeated.
//! Three setups: units with `dormouse proxy`, `dormouse run` with a container, and `dormouse run` with a Quadlet
//! unit.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{DORMOUSE, Machine, Manager, case, ensure, write};
use dormouse_tests::{Failure, Result};

use super::debian13;
use super::podman::{BEHIND, Podman, ask_and_stay};

const LIMIT: Duration = Duration::from_secs(240);

/// The number of wakes.
const ROUNDS: u32 = 3;

case!(User, units_and_proxy_rootless, LIMIT, units_and_proxy);
case!(System, units_and_proxy_rootful, LIMIT, units_and_proxy);
case!(User in debian13::tree, units_and_proxy_rootless_on_debian_13, LIMIT, units_and_proxy);

case!(User, container_rootless, LIMIT, container);
case!(System, container_rootful, LIMIT, container);
case!(User in debian13::tree, container_rootless_on_debian_13, LIMIT, container);
case!(System in debian13::tree, container_rootful_on_debian_13, LIMIT, container);

case!(User in debian13::tree, quadlet_rootless, LIMIT, quadlet);
case!(System in debian13::tree, quadlet_rootful, LIMIT, quadlet);

/// The port forwarder of a rootless container accepts connections before the server listens, and a proxy passes on the end
/// of such a connection. So the unit counts as started when the server answers.
const UNTIL_IT_ANSWERS: &str = "ExecStartPost=/bin/sh -c 'until busybox wget -q -O /dev/null http://127.0.0.1:8081/; \
                                do sleep 0.1; done'";

/// The option that publishes the container's port.
const PUBLISHED: &str = "--publish=127.0.0.1:8081:8081";

fn units_and_proxy(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(network(machine), &[])?;
    let unit = podman.run(&["generate", "systemd", "--new", "--name", "web"])?;
    podman.run(&["rm", "web"])?;
    let proxy = format!(
        "\
[Unit]
Requires=container-web.service proxy.socket
After=container-web.service proxy.socket
[Service]
Type=notify
ExecStart={DORMOUSE} proxy --exit-idle-time=500ms {BEHIND}
"
    );
    machine.install(&[
        ("container-web.service", &unit),
        (
            "container-web.service.d/front.conf",
            &format!("[Unit]\nStopWhenUnneeded=yes\n[Service]\nRestart=no\n{UNTIL_IT_ANSWERS}\n"),
        ),
        ("proxy.service", &proxy),
        ("proxy.socket", "[Socket]\nListenStream=127.0.0.1:8080\n"),
    ])?;
    machine.systemctl(&["start", "proxy.socket"])?;
    for _ in 0..ROUNDS {
        expect(&podman, "gone")?;
        answers_and_runs(&podman)?;
        machine.wait_inactive(&["proxy.service", "container-web.service"])?;
    }
    podman.wait("gone")
}

fn container(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    podman.create(network(machine), &[])?;
    podman.dormouse("--container=web --idle=500ms")?;
    expect(&podman, "created")?;
    for _ in 0..ROUNDS {
        answers_and_runs(&podman)?;
        podman.wait("exited")?;
    }
    podman.run(&["rm", "web"]).map(drop)
}

fn quadlet(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    let dir = match machine.manager() {
        Manager::User => {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".config/containers/systemd")
        }
        Manager::System => "/etc/containers/systemd".into(),
    };
    let network = network(machine).iter().map(|flag| match *flag {
        "--network=host" => "Network=host".to_owned(),
        published => published.replace("--publish", "PublishPort"),
    });
    let network: Vec<_> = network.collect();
    let container = format!(
        "[Container]\nImage=localhost/web\nPull=never\nContainerName=web\n{}\n[Service]\nRestart=no\n",
        network.join("\n")
    );
    write(&dir.join("web.container"), &container)?;
    warned(&podman)?;
    podman.dormouse("--unit=web.service --idle=500ms")?;
    for _ in 0..ROUNDS {
        expect(&podman, "gone")?;
        answers_and_runs(&podman)?;
        machine.wait_inactive(&["web.service"])?;
    }
    podman.wait("gone")
}

/// Sends a request and checks the state; an open connection keeps the container running meanwhile.
fn answers_and_runs(podman: &Podman<'_>) -> Result<()> {
    let client = ask_and_stay().map_err(|failure| podman.with_log(failure))?;
    expect(podman, "running")?;
    drop(client);
    Ok(())
}

/// `dormouse check` warns that this container belongs to a unit, whether the container exists or not.
fn warned(podman: &Podman<'_>) -> Result<()> {
    let file = std::env::temp_dir().join("check.toml");
    let text = "[services.web]\nlisten = \"127.0.0.1:8080\"\nto = \"127.0.0.1:8081\"\nwake = { container = \"web\" }\n";
    write(&file, text)?;
    let check = || {
        let output = Command::new(DORMOUSE)
            .arg("check")
            .arg(&file)
            .output()
            .doing(|| "run dormouse check".to_owned())?;
        let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output_text.contains("unit = \"web.service\""), || {
            format!("dormouse check printed {output_text:?}")
        })
    };
    check()?;
    podman.run(&["create", "--name=web", "--label=PODMAN_SYSTEMD_UNIT=web.service", "localhost/web"])?;
    let result = check();
    podman.run(&["rm", "web"])?;
    result
}

/// A rootless container has its own network. Its port forwarder accepts connections before the server listens.
fn network(machine: &Machine) -> &'static [&'static str] {
    match machine.manager() {
        Manager::User => &[PUBLISHED],
        Manager::System => &["--network=host"],
    }
}

fn expect(podman: &Podman<'_>, state: &str) -> Result<()> {
    let actual = podman.state()?;
    ensure(actual == state, || format!("the container is {actual} instead of {state}"))
        .map_err(|failure: Failure| podman.with_log(failure))
}
