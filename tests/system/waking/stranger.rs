//! Strangers who listen at the addresses of sleeping workloads, as users of their own; and those who may listen.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, case, ensure};
use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, write};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{LIMIT, SOON, until};
use dormouse_tests::{Failure, Family, Listener, Result, messages, network};

use super::container::podman::{BEHIND, Podman};
use super::unit::stage::{NGINX, REQUEST_LIMIT, Stage, WEB};
use dormouse_tests::nginx::Start;

const MACHINE_LIMIT: Duration = Duration::from_secs(240);

/// The user nobody.
const NOBODY: u32 = 65534;

/// A stranger: writes the port it listens on, then all that clients send.
const STRANGER: &str = r#"
import socket, sys, threading
host, port = sys.argv[1:]
listener = socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
def serve(connection):
    try:
        while data := connection.recv(65536):
            print("heard", data, flush=True)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nstolen")
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"#;

/// A stranger that runs.
struct Stranger {
    child: Child,
    address: SocketAddr,
}

impl Stranger {
    /// Listens as the user nobody; at any port if `port` is 0.
    fn listen(port: u16) -> Result<Self> {
        Self::listen_at(([127, 0, 0, 1], port).into())
    }

    fn listen_at(address: SocketAddr) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        command.args(["/usr/bin/python3", "-c", STRANGER, &address.ip().to_string()]);
        command.arg(address.port().to_string());
        let mut child =
            command.stdout(Stdio::piped()).spawn().doing(|| "run setpriv (package util-linux)".to_owned())?;
        let mut line = String::new();
        let out = child.stdout.as_mut().ok_or_else(|| Failure::Unexpected("no output".to_owned()))?;
        // Byte by byte, so that nothing after the line is lost.
        while !line.ends_with('\n') {
            let mut byte = [0];
            out.read_exact(&mut byte).doing(|| "read the stranger's port".to_owned())?;
            line.push(char::from(byte[0]));
        }
        let port: u16 = line.trim().parse().map_err(|_| Failure::Unexpected(line.clone()))?;
        Ok(Self { child, address: (address.ip(), port).into() })
    }

    /// Ends it, and returns what it has heard.
    fn end(mut self) -> Result<String> {
        self.child.kill().doing(|| "end the stranger".to_owned())?;
        let mut heard = String::new();
        if let Some(out) = self.child.stdout.take() {
            BufReader::new(out).read_to_string(&mut heard).doing(|| "read from the stranger".to_owned())?;
        }
        self.child.wait().doing(|| "wait for the stranger".to_owned())?;
        Ok(heard)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a password as a client, and returns the answer.
fn tell_password(to: SocketAddr, limit: Duration) -> Result<String> {
    let mut client = TcpStream::connect(to).doing(|| format!("connect to {to}"))?;
    client.set_read_timeout(Some(limit)).doing(|| "set a timeout".to_owned())?;
    client.write_all(b"GET /?password HTTP/1.0\r\n\r\n").doing(|| "send".to_owned())?;
    let mut answer = String::new();
    // A reset is no answer either.
    let _ = client.read_to_string(&mut answer);
    Ok(answer)
}

/// Starts `dormouse run` with an exec whose program cannot listen while the stranger does.
fn behind(stranger: &Stranger, launch: Launch) -> Result<Dormouse> {
    let port = stranger.address.port();
    Dormouse::start(
        launch
            .args(["run", "--listen=127.0.0.1:0", "--log-level=debug", "--minimum-uptime=0"])
            .arg(format!("--to={}", stranger.address))
            .arg(format!("--exec=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory / {port}")),
    )
}

#[test]
fn the_password_of_a_client_goes_to_nobody() {
    for (launch, named) in [
        (Launch::dormouse(), true),
        // Without privileges dormouse does not see the processes of others. Their user suffices.
        (Launch::dormouse().uid(61_234), false),
    ] {
        let stranger = Stranger::listen(0).unwrap();
        let dormouse = behind(&stranger, launch).unwrap();
        let answer = tell_password(dormouse.address().unwrap(), LIMIT).unwrap();
        assert_eq!(answer, "", "{}", dormouse.log());
        let (address, pid) = (stranger.address.to_string(), stranger.child.id());
        let line = if named {
            messages::refused_listener(&address, pid)
        } else {
            messages::refused_listener_of_user(&address, NOBODY)
        };
        dormouse.wait_for_log(&line).unwrap();
        assert_eq!(stranger.end().unwrap(), "");
        // The next start finds the address free.
        let served = until("an answer", LIMIT, || {
            Ok(tell_password(dormouse.address()?, SOON)?.starts_with("HTTP/1.0 200").then_some(()))
        });
        served.unwrap_or_else(|failure| panic!("{failure}\n{}", dormouse.log()));
    }
}

/// Runs a case in namespaces of its own.
fn in_namespaces(name: &str, case: impl FnOnce() -> Result<()>) {
    network::inside(&format!("{}::{name}", module_path!()), MACHINE_LIMIT, case);
}

/// Starts `dormouse run` for a name, whose program listens at this address.
fn behind_name(name: &str, listens_at: SocketAddr) -> Result<Dormouse> {
    let (ip, port) = (listens_at.ip(), listens_at.port());
    Dormouse::start(
        Launch::dormouse()
            .args(["run", "--listen=127.0.0.1:0", "--log-level=debug", "--idle=1h"])
            .arg(format!("--to={name}:{port}"))
            .arg(format!("--exec=/usr/bin/python3 -m http.server --bind {ip} --directory / {port}")),
    )
}

/// Sends a password to the program, which gets it.
fn is_served(dormouse: &Dormouse) -> Result<()> {
    let answer = tell_password(dormouse.address()?, LIMIT)?;
    ensure(answer.starts_with("HTTP/1.0 200"), || format!("{answer:?}\n{}", dormouse.log()))
}

const NAME: &str = "server.test";
const PORT: u16 = 8081;

#[test]
fn a_stranger_at_a_second_address_of_a_name_hears_nothing() {
    in_namespaces("a_stranger_at_a_second_address_of_a_name_hears_nothing", || {
        let dir = TempDir::new()?;
        let [own, other] = ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), PORT));
        network::name_addresses(&dir.join("hosts"), NAME, &[own.ip(), other.ip()])?;
        for (own, other, before) in [(own, other, false), (own, other, true), (other, own, false)] {
            let early = before.then(|| Stranger::listen_at(other)).transpose()?;
            let dormouse = behind_name(NAME, own)?;
            is_served(&dormouse)?;
            let stranger = early.map_or_else(|| Stranger::listen_at(other), Ok)?;
            for _ in 0..3 {
                is_served(&dormouse)?;
            }
            let heard = stranger.end()?;
            ensure(heard.is_empty(), || format!("{heard}\n{}", dormouse.log()))?;
        }
        Ok(())
    });
}

#[test]
fn a_stranger_at_a_new_address_of_a_name_hears_nothing() {
    in_namespaces("a_stranger_at_a_new_address_of_a_name_hears_nothing", || {
        let dir = TempDir::new()?;
        let [own, other] = ["127.0.0.1", "127.0.0.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), PORT));
        let hosts = dir.join("hosts");
        network::name_addresses(&hosts, NAME, &[own.ip()])?;
        let dormouse = behind_name(NAME, own)?;
        is_served(&dormouse)?;
        let stranger = Stranger::listen_at(other)?;
        network::name_addresses(&hosts, NAME, &[other.ip()])?;
        let line = messages::refused_listener(&other.to_string(), stranger.child.id());
        // The earlier address is kept for some seconds.
        until("the refusal of the new address", LIMIT * 2, || {
            let answer = tell_password(dormouse.address()?, SOON)?;
            ensure(!answer.contains("stolen"), || format!("{answer:?}\n{}", dormouse.log()))?;
            Ok(dormouse.log().contains(&line).then_some(()))
        })?;
        let heard = stranger.end()?;
        ensure(heard.is_empty(), || format!("{heard}\n{}", dormouse.log()))
    });
}

#[test]
fn a_program_that_gives_up_root_listens_for_dormouse() {
    let dir = TempDir::new().unwrap();
    let script = dir.join("server.py");
    let text = "import os, socket, sys\nl = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
                os.setgroups([]); os.setgid(65534); os.setuid(65534)\nif os.fork(): os._exit(0)\n\
                while True:\n  c, _ = l.accept()\n  c.sendall(b'hello'); c.close()\n";
    write(&script, text).unwrap();
    // Bound without listening, so that nobody else gets the port. The server sets SO_REUSEADDR, too.
    let reserved = Listener::bound(Family::Tcp4).unwrap();
    let to = reserved.address().to_string();
    let port = to.rsplit_once(':').unwrap().1;
    let dormouse = Dormouse::start(
        Launch::dormouse()
            .args(["run", "--listen=127.0.0.1:0", "--log-level=debug"])
            .arg(format!("--to={to}"))
            .arg(format!("--exec=/usr/bin/python3 {} {port}", script.display())),
    )
    .unwrap();
    assert_eq!(tell_password(dormouse.address().unwrap(), LIMIT).unwrap(), "hello", "{}", dormouse.log());
}

case!(System, a_stranger_from_before_the_start_of_a_unit_gets_no_client, MACHINE_LIMIT, before_a_unit);
case!(System, a_stranger_beside_a_running_unit_gets_no_client, MACHINE_LIMIT, beside_a_running_unit);
case!(System, a_stranger_after_the_start_of_a_unit_is_warned_of, MACHINE_LIMIT, after_a_unit);
case!(System, a_dormouse_without_privileges_judges_by_the_control_group, MACHINE_LIMIT, without_privileges);
case!(System, a_socket_unit_listens_for_its_service, MACHINE_LIMIT, socket_unit);
case!(User, a_socket_unit_listens_for_its_service_of_a_user, MACHINE_LIMIT, socket_unit);
case!(System, the_parts_of_a_unit_listen_for_the_whole, MACHINE_LIMIT, parts);
case!(System, postgresql_listens_for_the_whole_of_its_clusters, MACHINE_LIMIT, postgresql);
case!(System, docker_run_is_allowed_to_listen_for_dormouse, MACHINE_LIMIT, docker_run);
case!(User, a_running_rootless_container_is_used, MACHINE_LIMIT, running_container);
case!(System, a_running_rootful_container_is_used, MACHINE_LIMIT, running_container);

/// The unit's own nginx cannot listen, but the manager reports the unit as started.
fn before_a_unit(machine: &Machine) -> Result<()> {
    // A unit whose manager says that it runs, although its program cannot listen.
    let stage = Stage::new(machine, "[Service]\nExecStart=/bin/sleep 1000\n", Start::Quick)?;
    let stranger = Stranger::listen(8081)?;
    stage.dormouse("--start-timeout=5s")?;
    let answer = tell_password(front_address(), REQUEST_LIMIT)?;
    ensure(answer.is_empty(), || format!("{answer:?}\n{}", stage.log()))?;
    stage.wait_for_log(&messages::refused_listener("127.0.0.1:8081", stranger.child.id()))?;
    let heard = stranger.end()?;
    ensure(heard.is_empty(), || format!("{heard}\n{}", stage.log()))
}

fn beside_a_running_unit(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, "[Service]\nExecStart=/bin/sleep 1000\n", Start::Quick)?;
    let stranger = Stranger::listen(8081)?;
    stage.systemctl(&["start", WEB])?;
    stage.dormouse("--start-timeout=5s")?;
    let answer = tell_password(front_address(), REQUEST_LIMIT)?;
    ensure(answer.is_empty(), || format!("{answer:?}\n{}", stage.log()))?;
    stage.wait_for_log(&messages::refused_listener("127.0.0.1:8081", stranger.child.id()))?;
    let heard = stranger.end()?;
    ensure(heard.is_empty(), || format!("{heard}\n{}", stage.log()))
}

fn after_a_unit(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, "[Service]\nExecStart=/bin/sleep 1000\n", Start::Quick)?;
    stage.dormouse("")?;
    let client = std::thread::spawn(|| tell_password(front_address(), REQUEST_LIMIT));
    machine.wait(WEB, "ActiveState", "active", SETTLE)?;
    let _stranger = Stranger::listen(8081)?;
    let answer = client.join().map_err(|_| Failure::Unexpected("the client panicked".to_owned()))??;
    ensure(answer.ends_with("stolen"), || format!("{answer:?}\n{}", stage.log()))?;
    stage.wait_for_log(messages::FOREIGN_LISTENER)
}

/// Without privileges the control group of the socket decides, which the kernel names to everybody.
fn without_privileges(machine: &Machine) -> Result<()> {
    let stage = Stage::new(machine, NGINX, Start::Quick)?;
    stage.systemctl(&["start", WEB])?;
    // The private socket of the manager is closed to this user, and the bus answers questions.
    let config = machine.runtime().join("front.toml");
    let text = format!(
        "log_level = 'debug'\n[services.main]\nlisten = '127.0.0.1:8080'\nto = '{BEHIND}'\n\
         wake = {{ unit = '{WEB}', manager = 'system', start_timeout = '5s' }}\n"
    );
    write(&config, &text)?;
    let front = format!(
        "[Service]\nType=notify\nUser=daemon\nExecStart={DORMOUSE} run --config={}\n\
         StandardError=append:{}\n",
        config.display(),
        machine.runtime().join("front.log").display(),
    );
    machine.install(&[("front.service", &front)])?;
    stage.systemctl(&["start", "front.service"])?;
    stage.wait_for_log(&messages::state_of("main", "stopped", "idle"))?;
    stage.ask(1)?;
    ensure(!stage.log().contains("the listener"), || stage.log())?;
    stage.systemctl(&["stop", "front.service", WEB])?;
    machine.install(&[(WEB, "[Service]\nExecStart=/bin/sleep 1000\n")])?;
    stage.systemctl(&["start", WEB])?;
    let stranger = Stranger::listen(8081)?;
    stage.systemctl(&["start", "front.service"])?;
    stage.wait_for_log(&messages::refused_listener_of_user("127.0.0.1:8081", NOBODY))?;
    let heard = stranger.end()?;
    ensure(heard.is_empty(), || format!("{heard}\n{}", stage.log()))
}

/// The manager listens before the service runs, and passes the socket on.
fn socket_unit(machine: &Machine) -> Result<()> {
    let service = "\
[Service]
ExecStart=/usr/bin/python3 -c 'import socket\\nl = socket.socket(fileno=3)\\nwhile True:\\n  c, _ = l.accept()\\n  c.recv(9)\\n  c.sendall(b\"hello\")\\n  c.close()'
";
    let stage = Stage::new(machine, service, Start::Quick)?;
    machine.install(&[("web.socket", "[Socket]\nListenStream=127.0.0.1:8081\n")])?;
    stage.systemctl(&["start", "web.socket"])?;
    stage.dormouse("")?;
    let answer = tell_password(front_address(), REQUEST_LIMIT)?;
    ensure(answer == "hello", || format!("{answer:?}\n{}", stage.log()))?;
    // Once more with a unit that runs already.
    stage.systemctl(&["restart", "front.service"])?;
    let answer = tell_password(front_address(), REQUEST_LIMIT)?;
    ensure(answer == "hello", || format!("{answer:?}\n{}", stage.log()))?;
    ensure(!stage.log().contains(messages::REFUSED_LISTENER), || stage.log())
}

/// A unit without processes of its own, whose parts run already when dormouse starts.
fn parts(machine: &Machine) -> Result<()> {
    let whole =
        "[Unit]\nWants=part.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    let stage = Stage::new(machine, whole, Start::Quick)?;
    machine.install(&[("part.service", &format!("{NGINX}[Unit]\nPartOf={WEB}\n"))])?;
    stage.systemctl(&["start", WEB])?;
    stage.dormouse("")?;
    stage.ask(1)?;
    ensure(!stage.log().contains(messages::REFUSED_LISTENER), || stage.log())
}

fn postgresql(machine: &Machine) -> Result<()> {
    let shell = |script: &str| -> Result<()> {
        let output = Command::new("sh").args(["-c", script]).output().doing(|| "run sh".to_owned())?;
        let text = || String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output.status.success(), || format!("{script}: {}", text()))
    };
    shell("pg_lsclusters >/dev/null || { echo 'package postgresql' >&2; exit 1; }")?;
    shell("pg_createcluster $(ls /usr/lib/postgresql | tail -1) dormouse --port=8081")?;
    machine.systemctl(&["daemon-reload"])?;
    machine.systemctl(&["start", "postgresql.service"])?;
    let stage = Stage { machine };
    stage.dormouse_as("--unit=postgresql.service", "")?;
    let mut client = TcpStream::connect(front_address()).doing(|| "connect".to_owned())?;
    client.set_read_timeout(Some(REQUEST_LIMIT)).doing(|| "set a timeout".to_owned())?;
    // SSLRequest of the protocol: the server answers with one letter.
    client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).doing(|| "send".to_owned())?;
    let mut answer = [0];
    client
        .read_exact(&mut answer)
        .doing(|| "receive".to_owned())
        .map_err(|failure| stage.with_log(&failure))?;
    ensure(matches!(answer, [b'S' | b'N']), || format!("{answer:?}"))?;
    ensure(!stage.log().contains(messages::REFUSED_LISTENER), || stage.log())
}

/// The engine forwards the container's port: rootlessport or pasta without root, conmon and the kernel with root.
fn running_container(machine: &Machine) -> Result<()> {
    let podman = Podman::new(machine)?;
    for network in ["--network=bridge", "--network=host"] {
        let publish = if network.ends_with("host") { vec![] } else { vec!["--publish=127.0.0.1:8081:8081"] };
        podman.create(&[&[network], &publish[..]].concat(), &[])?;
        podman.run(&["start", "web"])?;
        until("the container's server", LIMIT, || Ok(TcpStream::connect(BEHIND).ok()))?;
        podman.dormouse("--container=web")?;
        podman.ask()?;
        ensure(!podman.log().contains(messages::REFUSED_LISTENER), || podman.log())?;
        machine.systemctl(&["stop", "front.service"])?;
        podman.run(&["rm", "--force", "web"])?;
    }
    Ok(())
}

/// The container is a child of the engine, and no process that dormouse starts.
fn docker_run(machine: &Machine) -> Result<()> {
    let docker = Podman::docker(machine)?;
    let exec = "\"--exec=docker run --rm --network=host localhost/web\" --start-timeout=60s";
    docker.dormouse(exec)?;
    let client = std::thread::spawn(|| tell_password(front_address(), REQUEST_LIMIT));
    docker.wait_for_log(messages::REFUSED_LISTENER)?;
    machine.systemctl(&["stop", "front.service"])?;
    let answer = client.join().map_err(|_| Failure::Unexpected("the client panicked".to_owned()))??;
    ensure(answer.is_empty(), || format!("{answer:?}\n{}", docker.log()))?;
    docker.dormouse(&format!("{exec} --foreign-listener=allow"))?;
    docker.ask()
}

fn front_address() -> SocketAddr {
    ([127, 0, 0, 1], 8080).into()
}
