//! Podman itself, as the measure of what a start takes: no image, no network of its own, and all that it keeps in the
//! bench's folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use super::written;
use crate::error::{Doing, Error, Result};

/// Where programs find their libraries; the container sees the same.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// Takes no device rules through eBPF, for which root of a small virtual machine may lack a capability.
const RUNTIME_OF_ROOT: &str = "/usr/sbin/runc";
const AT_MOST: Duration = Duration::from_secs(30);
/// A container must not outlive the bench for long, even if that is killed. In seconds.
const LIFETIME: &str = "60";

/// A container that was made and does not run yet. It is removed with this value.
pub(super) struct Container {
    program: PathBuf,
    /// Settings, storage and state.
    home: PathBuf,
    name: String,
}

impl Container {
    /// Makes a container of the bench's own server; `server` is its command line outside.
    pub(super) fn make(program: &Path, home: PathBuf, name: String, server: &[String]) -> Result<Self> {
        let container = Self { program: program.to_owned(), home, name };
        let empty = container.home.join("rootfs");
        fs::create_dir_all(&empty).doing(|| format!("make {}", empty.display()))?;
        written(&container.home.join("containers.conf"), &container.settings())?;
        written(&container.home.join("storage.conf"), &container.storage())?;
        let (path, args) = server.split_first().ok_or_else(|| Error::Usage("no server".into()))?;
        let mut command = container.command("create");
        command.args(["--network=host", "--ipc=host", "--timeout", LIFETIME, "--name", &container.name]);
        for library in LIBRARIES.iter().filter(|library| Path::new(library).is_dir()) {
            command.arg(format!("--volume={library}:{library}:ro"));
        }
        command
            .arg(format!("--volume={path}:/server:ro"))
            .arg("--rootfs")
            .arg(empty)
            .arg("/server")
            .args(args);
        container.run(command)?;
        Ok(container)
    }

    /// What starts it.
    pub(super) fn start(&self) -> Command {
        let mut command = self.command("start");
        command.arg(&self.name);
        command
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CONTAINERS_CONF", self.home.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.home.join("storage.conf"));
        command.arg(what);
        command
    }

    fn settings(&self) -> String {
        let home = self.home.display();
        let root = geteuid().is_root() && Path::new(RUNTIME_OF_ROOT).exists();
        let runtime = if root { format!("runtime = \"{RUNTIME_OF_ROOT}\"\n") } else { String::new() };
        // The limits are below what an ordinary user may have.
        format!(
            "[containers]
pids_limit = 0
default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]
log_driver = \"none\"
[engine]
{runtime}cgroup_manager = \"cgroupfs\"
events_logger = \"none\"
lock_type = \"file\"
static_dir = \"{home}/static\"
tmp_dir = \"{home}/tmp\"
volume_path = \"{home}/volumes\"
"
        )
    }

    fn storage(&self) -> String {
        let home = self.home.display();
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{home}/storage\"\nrunroot = \"{home}/run\"\n")
    }

    /// Waits for its end.
    fn run(&self, mut command: Command) -> Result<()> {
        let program = || format!("podman for {}", self.name);
        let log = self.home.join(format!("{}.log", self.name));
        let out = fs::File::create(&log).doing(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let mut child = command.spawn().doing(|| format!("start {}", program()))?;
        let until = Instant::now() + AT_MOST;
        loop {
            if let Some(status) = child.try_wait().doing(|| format!("wait for {}", program()))? {
                if status.success() {
                    return Ok(());
                }
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Ended { program: program(), status: status.to_string(), log });
            }
            if Instant::now() >= until {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Late { awaited: format!("end of {}", program()), after: AT_MOST });
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut command = self.command("rm");
        command.args(["--force", "--time", "0", &self.name]);
        // Its lifetime ends it otherwise.
        let _ = self.run(command);
    }
}
