//! Real peers of dormouse: `HAProxy` and nginx.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use dormouse_tests::failure::Doing;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, wait};

use dormouse_tests::rig::write;

/// A peer process that is killed on drop.
pub(crate) struct Peer {
    child: Child,
    dir: TempDir,
    socket: Option<Listener>,
}

impl Peer {
    /// Starts `HAProxy` with this configuration, in which `fd@3` is a listening port.
    pub(crate) fn haproxy(config: &str) -> Result<Self> {
        let (dir, socket) = (TempDir::new()?, Listener::bind(Family::Tcp4)?);
        let file = dir.join("haproxy.cfg");
        let defaults = "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";
        write(&file, &format!("global\n maxconn 100\n{defaults}{config}\n"))?;
        let passed = socket.as_fd().try_clone_to_owned().doing(|| "duplicate a socket".to_owned())?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&file);
        command
            .fd_mappings(vec![FdMapping { parent_fd: passed, child_fd: 3 }])
            .map_err(|_| Failure::Unexpected("two descriptors have the same number".to_owned()))?;
        Self::start("haproxy", command, dir, Some(socket))
    }

    /// Starts nginx with these servers in its http block; `DIR` becomes its directory.
    pub(crate) fn nginx(servers: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let file = dir.join("nginx.conf");
        let text = format!(
            "daemon off;\nmaster_process off;\npid DIR/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path DIR/a;\nproxy_temp_path DIR/b;\nfastcgi_temp_path DIR/c;\nuwsgi_temp_path DIR/d;\n\
             scgi_temp_path DIR/e;\n{servers}\n}}\n"
        );
        write(&file, &text.replace("DIR", &dir.path().to_string_lossy()))?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c"]).arg(&file);
        Self::start("nginx", command, dir, None)
    }

    fn start(name: &str, mut command: Command, dir: TempDir, socket: Option<Listener>) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::missing(name, "run scripts/test-deps.sh"),
            _ => Failure::io(format!("start {name}"), error),
        })?;
        Ok(Self { child, dir, socket })
    }

    /// The address of the port that was passed to the process.
    pub(crate) fn address(&self) -> &Address {
        self.socket.as_ref().expect("a passed port").address()
    }

    /// Waits until a socket exists in its directory and returns the path.
    pub(crate) fn socket(&self, name: &str) -> Result<std::path::PathBuf> {
        let path = self.dir.join(name);
        let there = |path: &Path| path.exists().then_some(());
        wait::until(&format!("{} by nginx", path.display()), SOON, || Ok(there(&path)))?;
        Ok(path)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
