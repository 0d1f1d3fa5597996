//! Podman, to measure the start of a container: without an image or a network, and with all its files in the folder of the
//! benchmark.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use super::parameters::write_file;
use crate::error::{Error, ErrorContext, Result};

/// The library folders, mounted into the container.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// The runtime for root. It sets no device rules through eBPF, for which root of a small virtual machine may lack a
/// capability.
const ROOT_RUNTIME: &str = "/usr/sbin/runc";
const TIMEOUT: Duration = Duration::from_secs(30);
/// The lifetime of a container in seconds, so that it ends soon after a benchmark that is killed.
const LIFETIME: &str = "60";

/// A created container. Dropping the value removes it.
pub(super) struct Container {
    program: PathBuf,
    /// Settings, storage and state.
    home: PathBuf,
    name: String,
}

impl Container {
    /// Creates a container with the wake server. `server` is its command line outside the container.
    pub(super) fn create(program: &Path, home: PathBuf, name: String, server: &[String]) -> Result<Self> {
        let container = Self { program: program.to_owned(), home, name };
        let empty = container.home.join("rootfs");
        fs::create_dir_all(&empty).context(|| format!("create {}", empty.display()))?;
        write_file(&container.home.join("containers.conf"), &container.settings())?;
        write_file(&container.home.join("storage.conf"), &container.storage())?;
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

    /// Returns the command that starts the container.
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
        let root = geteuid().is_root() && Path::new(ROOT_RUNTIME).exists();
        let runtime = if root { format!("runtime = \"{ROOT_RUNTIME}\"\n") } else { String::new() };
        // The limits are within those of an unprivileged user.
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

    /// Runs a command and waits for its end.
    fn run(&self, mut command: Command) -> Result<()> {
        let program = || format!("podman for {}", self.name);
        let log = self.home.join(format!("{}.log", self.name));
        let out = fs::File::create(&log).context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let mut child = command.spawn().context(|| format!("start {}", program()))?;
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = child.try_wait().context(|| format!("wait for {}", program()))? {
                if status.success() {
                    return Ok(());
                }
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Ended { program: program(), status: status.to_string(), log });
            }
            if Instant::now() >= until {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Timeout { awaited: format!("the end of {}", program()), after: TIMEOUT });
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut command = self.command("rm");
        command.args(["--force", "--time", "0", &self.name]);
        // If this fails, the container ends after its lifetime.
        let _ = self.run(command);
    }
}
