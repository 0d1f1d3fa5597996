//! Podman (or Docker) with an image that needs no registry.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::machine::{DORMOUSE, Machine, Manager, SETTLE, ensure, write};
use dormouse_tests::{Address, Ending, Failure, Result, Stream, wait};

/// The time limit of a request, including the wake.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The address of dormouse.
pub(crate) fn front() -> Address {
    Address::Tcp(([127, 0, 0, 1], 8080).into())
}

/// The address of the container's server.
pub(crate) const BEHIND: &str = "127.0.0.1:8081";

/// The answer of the server.
const WORDS: &str = "hello from the container\n";

/// As process 1 the httpd of busybox ignores SIGTERM; this shell does not. `LATE` delays its start.
const SERVER: &str = r#"#!/bin/sh
trap 'kill $! 2>/dev/null; exit 0' TERM
[ -z "$LATE" ] || { sleep "$LATE" & wait $!; }
httpd -f -p 8081 -h /www &
wait $!
"#;

/// A container engine with the test image.
pub(crate) struct Podman<'m> {
    machine: &'m Machine,
    program: &'static str,
}

impl<'m> Podman<'m> {
    /// Sets up Podman with its socket and the image.
    pub(crate) fn new(machine: &'m Machine) -> Result<Self> {
        need(&["podman", "busybox", "conmon"])?;
        let podman = Self { machine, program: "podman" };
        podman.configure()?;
        podman.make_image()?;
        machine.systemctl(&["start", "podman.socket"])?;
        Ok(podman)
    }

    /// Sets up Docker; it is rootful and has only the machine's network.
    pub(crate) fn docker(machine: &'m Machine) -> Result<Self> {
        need(&["docker", "dockerd", "busybox"])?;
        let docker = Self { machine, program: "docker" };
        tmpfs("/var/lib/docker")?;
        let unit = "[Service]\nType=notify\nExecStart=/usr/sbin/dockerd --iptables=false --bridge=none\n";
        machine.install(&[("dockerd.service", unit)])?;
        machine.systemctl(&["start", "dockerd.service"])?;
        docker.make_image()?;
        Ok(docker)
    }

    fn rootful(&self) -> bool {
        self.machine.manager() == Manager::System
    }

    fn configure(&self) -> Result<()> {
        let etc = if self.rootful() {
            // The machine's root is an overlay, which cannot be the upper directory of another overlay.
            tmpfs("/var/lib/containers")?;
            PathBuf::from("/etc/containers")
        } else {
            home().join(".config/containers")
        };
        // crun of Debian 12 raises a limit, which it may not do in nested namespaces; runc needs the system manager
        // instead of the user manager.
        let old = fs::read_to_string("/etc/debian_version").unwrap_or_default().starts_with("12");
        let runtime = if self.rootful() && old { "runc" } else { "crun" };
        let text = format!(
            "\
[containers]
# Some machines lack the controllers for limits.
pids_limit = 0
default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]
[engine]
runtime = \"{runtime}\"
events_logger = \"file\"
cgroup_manager = \"systemd\"
[network]
network_backend = \"netavark\"
"
        );
        write(&etc.join("containers.conf"), &text)
    }

    fn make_image(&self) -> Result<()> {
        let root = home().join("image");
        for dir in ["bin", "etc", "www", "tmp", "proc", "sys", "dev"] {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).doing(|| "copy busybox".to_owned())?;
        for applet in ["sh", "httpd", "sleep", "wget"] {
            symlink("busybox", root.join("bin").join(applet)).doing(|| format!("link {applet}"))?;
        }
        write(&root.join("www/index.html"), WORDS)?;
        write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        write(&root.join("bin/web"), SERVER)?;
        succeed(Command::new("chmod").arg("755").arg(root.join("bin/web")))?;
        let archive = home().join("image.tar");
        succeed(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        let archive = archive.to_string_lossy().into_owned();
        // The engines have different syntax for this.
        let between = if self.program == "docker" { " " } else { "=" };
        let change = format!("CMD{between}[\"/bin/web\"]");
        self.run(&["import", "--change", &change, &archive, "localhost/web"]).map(drop)
    }

    /// Runs the engine's command and returns its output.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(self.program);
        if !self.rootful() {
            let bus = self.machine.runtime().join("bus");
            command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
        }
        succeed(command.args(args))
    }

    /// Creates a container `web` from the image.
    pub(crate) fn create(&self, flags: &[&str], command: &[&str]) -> Result<()> {
        let args = [&["create", "--name=web"], flags, &["localhost/web"], command].concat();
        self.run(&args).map(drop)
    }

    /// The state of the container: `running`, `paused`, `exited` …, or `gone`.
    pub(crate) fn state(&self) -> Result<String> {
        match self.run(&["container", "inspect", "--format={{.State.Status}}", "web"]) {
            Ok(state) => Ok(state.trim().to_owned()),
            Err(failure) if failure.to_string().to_lowercase().contains("no such container") => {
                Ok("gone".to_owned())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits until the container is in this state.
    pub(crate) fn wait(&self, state: &str) -> Result<()> {
        self.wait_for_one_of(&[state])
    }

    /// Waits until the container has ended. An engine that was killed before it cleaned up leaves it `stopped`.
    pub(crate) fn wait_for_end(&self) -> Result<()> {
        self.wait_for_one_of(&["exited", "stopped"])
    }

    fn wait_for_one_of(&self, states: &[&str]) -> Result<()> {
        let mut last = String::new();
        wait::until(&format!("{} container", states.join(" or ")), SETTLE, || {
            last = self.state()?;
            Ok(states.contains(&last.as_str()).then_some(()))
        })
        .map_err(|failure| {
            Failure::Unexpected(format!("{failure}: the last state is {last}\n{}", self.log()))
        })
    }

    /// The process id of the container.
    pub(crate) fn process(&self) -> Result<String> {
        Ok(self.run(&["inspect", "--format={{.State.Pid}}", "web"])?.trim().to_owned())
    }

    /// Waits until the engine has cleaned up the last run of a container that has ended. Its monitor, and then a command
    /// of the engine that the monitor runs, have the whole id of the container among their arguments.
    pub(crate) fn wait_for_cleanup(&self, id: &str) -> Result<()> {
        let has_id = |pid: &str| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument == id.as_bytes())
        };
        wait::until("the cleanup of the container", SETTLE, || {
            let all = fs::read_dir("/proc").doing(|| "read /proc".to_owned())?;
            let mut pids = all.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            Ok((!pids.any(|pid| has_id(&pid))).then_some(()))
        })
        .map_err(|failure| self.with_log(failure))
    }

    /// The process id of the engine, if it runs: Podman's engine ends when it has no connections.
    pub(crate) fn engine(&self) -> Result<Option<String>> {
        let pid = self.machine.property("podman.service", "MainPID")?;
        Ok(Some(pid).filter(|pid| pid != "0"))
    }

    /// Starts `dormouse run` for the container with these flags, as `front.service`. The unit stops before the
    /// engine, so that dormouse can stop the container.
    pub(crate) fn dormouse(&self, flags: &str) -> Result<()> {
        let unit = format!(
            "\
[Unit]
After=podman.socket podman.service dockerd.service dbus.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={DORMOUSE} run --listen=127.0.0.1:8080 --to={BEHIND} --minimum-uptime=0 --log-level=debug {flags}
StandardError=append:{}
",
            self.log_path().display()
        );
        self.machine.install(&[("front.service", &unit)])?;
        self.machine
            .systemctl(&["start", "front.service"])
            .map(drop)
            .map_err(|failure| self.with_log(failure))
    }

    fn log_path(&self) -> PathBuf {
        self.machine.runtime().join("front.log")
    }

    /// The log of dormouse.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log contains `part`.
    pub(crate) fn wait_for_log(&self, part: &str) -> Result<()> {
        wait::until(&format!("{part:?} in the log"), SETTLE, || Ok(self.log().contains(part).then_some(())))
            .map_err(|failure| self.with_log(failure))
    }

    /// Adds the log of dormouse to a failure.
    pub(crate) fn with_log(&self, failure: Failure) -> Failure {
        match self.log() {
            log if log.is_empty() => failure,
            log => Failure::Unexpected(format!("{failure}\ndormouse logged:\n{log}")),
        }
    }

    /// Like [`ask`], with the log in the failure.
    pub(crate) fn ask(&self) -> Result<()> {
        ask().map_err(|failure| self.with_log(failure))
    }
}

/// Sends a request through dormouse and fails unless the answer is complete and ends with an orderly close.
///
/// # Errors
/// When the connection fails or the answer is wrong.
pub(crate) fn ask() -> Result<()> {
    receive_answer(&send_request()?)
}

/// Like [`ask`], and returns a second connection from before the answer that keeps the server running.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_and_stay() -> Result<Stream> {
    let stream = send_request()?;
    let stays = Stream::connect(&front(), REQUEST_LIMIT)?;
    receive_answer(&stream)?;
    Ok(stays)
}

fn send_request() -> Result<Stream> {
    let stream = Stream::connect(&front(), REQUEST_LIMIT)?;
    stream.send(b"GET / HTTP/1.0\r\n\r\n", REQUEST_LIMIT)?;
    Ok(stream)
}

fn receive_answer(stream: &Stream) -> Result<()> {
    let received = stream.receive_to_end(REQUEST_LIMIT)?;
    let text = String::from_utf8_lossy(&received.bytes);
    let right = text.contains(" 200 OK\r\n") && text.ends_with(&format!("\r\n\r\n{WORDS}"));
    ensure(right && received.ending == Ending::Fin, || {
        format!("the answer is {text:?}, ended by {:?}", received.ending)
    })
}

fn need(tools: &[&str]) -> Result<()> {
    for tool in tools {
        let found = Command::new("which").arg(tool).output().doing(|| "run which".to_owned())?;
        if !found.status.success() {
            return Err(Failure::missing(*tool, "run scripts/test-deps.sh"));
        }
    }
    Ok(())
}

fn tmpfs(path: &str) -> Result<()> {
    fs::create_dir_all(path).doing(|| format!("make {path}"))?;
    succeed(Command::new("mount").args(["-t", "tmpfs", "tmpfs", path])).map(drop)
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| Path::new("/root").to_owned(), PathBuf::from)
}

/// Starts an initialized container with the OCI runtime, without the engine.
pub(crate) fn start_without_the_engine(id: &str) -> Result<()> {
    succeed(Command::new("crun").args(["start", id])).map(drop)
}

fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().doing(|| format!("run {command:?}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Failure::Unexpected(format!("{command:?}: {} {stderr}", output.status)))
    }
}
