//! The shipped unit, installed as its first lines describe.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, ensure, write};
use dormouse_tests::{Address, Failure, Result, Stream, wait};

/// The time limit of a test.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);
/// The time limit of a request, including the wake.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The shipped unit.
pub(crate) const UNIT: &str = "dormouse.service";
/// The text of the shipped unit.
pub(crate) const SHIPPED: &str = include_str!("../../../docs/examples/dormouse.service");
/// The place of the drop-in, as its first lines name it.
const DROP_IN: &str = "/etc/systemd/system/dormouse.service.d/50-configuration.conf";
/// The place of the rules, as their first lines name it.
const RULES: &str = "/etc/polkit-1/rules.d/50-dormouse.rules";
const CONFIG: &str = "/etc/dormouse/dormouse.toml";

/// What a request for a [`server`] receives.
pub(crate) const ANSWER: &str = "hello from behind";

pub(crate) struct Stage<'m> {
    pub(crate) machine: &'m Machine,
}

impl<'m> Stage<'m> {
    /// Installs the user, the policy for the bus, and the unit. dormouse is not started.
    pub(crate) fn new(machine: &'m Machine) -> Result<Self> {
        let stage = Self { machine };
        write(
            Path::new("/etc/sysusers.d/dormouse.conf"),
            include_str!("../../../docs/examples/dormouse.sysusers.conf"),
        )?;
        succeed(Command::new("systemd-sysusers").arg("dormouse.conf"))?;
        write(
            Path::new("/etc/dbus-1/system.d/dormouse.conf"),
            include_str!("../../../docs/examples/dormouse.dbus.conf"),
        )?;
        // Before its first use the bus is not running.
        stage.systemctl(&["try-reload-or-restart", "dbus.service"])?;
        machine.install(&[(UNIT, SHIPPED)])?;
        Ok(stage)
    }

    /// Writes the configuration, and installs what `dormouse check` prints for it.
    pub(crate) fn configure(&self, config: &str) -> Result<()> {
        write_configuration(config)?;
        write(Path::new(DROP_IN), &check("--drop-in")?)?;
        write(Path::new(RULES), &check("--polkit")?)?;
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// Starts dormouse, and fails unless it runs as its own user.
    pub(crate) fn start(&self) -> Result<()> {
        self.systemctl(&["start", UNIT])?;
        let process = self.machine.property(UNIT, "MainPID")?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))
            .doing(|| "read the status of dormouse".to_owned())?;
        let root = status
            .lines()
            .any(|line| line.starts_with("Uid:") && line.split_whitespace().any(|id| id == "0"));
        ensure(!root, || format!("dormouse runs as root: {status}"))
    }

    pub(crate) fn systemctl(&self, args: &[&str]) -> Result<String> {
        self.machine.systemctl(args).map_err(|failure| with_log(&failure))
    }

    /// Waits until the property of a unit has this value.
    pub(crate) fn wait(&self, unit: &str, property: &str, value: &str) -> Result<()> {
        self.machine.wait(unit, property, value, SETTLE).map_err(|failure| with_log(&failure))
    }
}

/// Writes the configuration alone.
pub(crate) fn write_configuration(config: &str) -> Result<()> {
    write(Path::new(CONFIG), config)
}

/// The log of dormouse.
pub(crate) fn log() -> String {
    succeed(Command::new("journalctl").args(["--no-pager", "-o", "cat", "-u", UNIT])).unwrap_or_default()
}

/// Adds the log of dormouse to a failure.
pub(crate) fn with_log(failure: &Failure) -> Failure {
    Failure::Unexpected(format!("{failure}\ndormouse logged:\n{}", log()))
}

/// Waits until the log contains `part`.
pub(crate) fn wait_for_log(part: &str) -> Result<()> {
    wait::until(&format!("{part:?} in the log"), SETTLE, || Ok(log().contains(part).then_some(())))
        .map_err(|failure| with_log(&failure))
}

/// Requests an answer at a port of this machine.
pub(crate) fn ask(port: u16) -> Result<()> {
    ask_at(&Address::Tcp(([127, 0, 0, 1], port).into()))
}

/// Requests an answer at an address.
pub(crate) fn ask_at(address: &Address) -> Result<()> {
    let answer = request(address).map_err(|failure| with_log(&failure))?;
    ensure(answer.contains(ANSWER), || format!("the answer is {answer:?}"))
        .map_err(|failure| with_log(&failure))
}

/// Sends a request, and fails if it is answered.
pub(crate) fn ask_without_answer(port: u16) -> Result<()> {
    match request(&Address::Tcp(([127, 0, 0, 1], port).into())) {
        Err(failure) if failure.is_timeout() => Err(with_log(&failure)),
        Ok(answer) if answer.contains(ANSWER) => {
            Err(with_log(&Failure::Unexpected("the request was answered".to_owned())))
        }
        _ => Ok(()),
    }
}

fn request(address: &Address) -> Result<String> {
    let stream = Stream::connect(address, REQUEST_LIMIT)?;
    stream.send(b"GET /index.html HTTP/1.0\r\n\r\n", REQUEST_LIMIT)?;
    Ok(String::from_utf8_lossy(&stream.receive_to_end(REQUEST_LIMIT)?.bytes).into_owned())
}

/// A unit with a web server at a port of this machine.
pub(crate) fn server(name: &str, port: u16) -> String {
    format!(
        "\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
RuntimeDirectory={name}
ExecStartPre=sh -c 'echo {ANSWER} >/run/{name}/index.html'
ExecStart=/bin/busybox httpd -f -p 127.0.0.1:{port} -h /run/{name}
SuccessExitStatus=143
"
    )
}

/// Returns what `dormouse check` prints with this flag.
pub(crate) fn check(flag: &str) -> Result<String> {
    succeed(Command::new(DORMOUSE).args(["check", flag]))
}

/// Runs a command and returns its output.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().doing(|| format!("run {command:?}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Failure::Unexpected(format!("{command:?}: {} {stderr}", output.status)))
    }
}
