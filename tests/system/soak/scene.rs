//! dormouse, its servers and its services.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dormouse_tests::failure::Doing;
use dormouse_tests::process::{self, Launch};
use dormouse_tests::rig::{Dormouse, expand, write};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{LIMIT, SOON, until};
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, messages};
use rustix::process::Signal;

/// What the clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// A passed TCP listener in front of two servers.
    Bridge,
    /// A listener at a path, in front of the same servers.
    Path,
    /// A passed TCP listener in front of a workload that falls asleep soon.
    Woken,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Bridge, Self::Path, Self::Woken];
}

/// The names of the two servers and of their sockets.
const SERVERS: [&str; 2] = ["one", "two"];

/// The descriptors that may be kept for later sessions.
const SPARE_DESCRIPTORS: usize = 8;

/// A server that the test starts. It is killed on drop.
#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that runs.
pub(crate) struct Scene {
    dormouse: Dormouse,
    servers: [Server; 2],
    bridge: Listener,
    woken: Listener,
    dir: TempDir,
    /// The number of reloads, each with another limit.
    reloads: usize,
}

impl Scene {
    /// Starts the servers and dormouse.
    ///
    /// # Errors
    /// When one of them does not start.
    pub(crate) fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        write_configuration(&dir, 0)?;
        let servers = [server(&dir, 0)?, server(&dir, 1)?];
        let (bridge, woken) = (Listener::bind(Family::Tcp4)?, Listener::bind(Family::Tcp4)?);
        let dormouse = start_dormouse(&dir, &bridge, &woken)?;
        Ok(Self { dormouse, servers, bridge, woken, dir, reloads: 0 })
    }

    /// The addresses for the clients.
    pub(crate) fn fronts(&self) -> Vec<(Service, Address)> {
        Service::ALL
            .map(|service| {
                let address = match service {
                    Service::Bridge => self.bridge.address().clone(),
                    Service::Path => Address::Unix(self.dir.join("front")),
                    Service::Woken => self.woken.address().clone(),
                };
                (service, address)
            })
            .to_vec()
    }

    pub(crate) fn with_log(&self, failure: &Failure) -> Failure {
        self.dormouse.with_log(failure)
    }

    pub(crate) fn kill_dormouse(&mut self) -> Result<()> {
        self.dormouse.signal(Signal::KILL)?;
        self.dormouse.wait(SOON)?;
        // The socket file of the killed process stays; the next process replaces it.
        self.dormouse = start_dormouse(&self.dir, &self.bridge, &self.woken)?;
        Ok(())
    }

    pub(crate) fn kill_server(&mut self, first: bool) -> Result<()> {
        let index = usize::from(!first);
        let Some(place) = self.servers.get_mut(index) else { return Ok(()) };
        place.0.kill().doing(|| "kill a server".to_owned())?;
        place.0.wait().doing(|| "wait for a server".to_owned())?;
        *place = server(&self.dir, index)?;
        Ok(())
    }

    /// Kills the woken program, or its guard. Nothing happens while it sleeps.
    pub(crate) fn kill_started(&self, guard: bool) -> Result<()> {
        for (pid, command) in self.started()? {
            if command.contains("guard") == guard {
                // It may have ended meanwhile.
                let _ = process::kill(&pid);
            }
        }
        Ok(())
    }

    pub(crate) fn remove_socket(&mut self) -> Result<()> {
        let path = self.dir.join("front");
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))?;
        self.reload()?;
        connectable(&path)
    }

    pub(crate) fn reload(&mut self) -> Result<()> {
        self.reloads += 1;
        write_configuration(&self.dir, self.reloads)?;
        self.hang_up(messages::RELOADED)
    }

    pub(crate) fn wrong_reload(&self) -> Result<()> {
        write(&self.dir.join("dormouse.toml"), "[services.bridge]\nlisten = 7\n")?;
        self.hang_up(messages::NOT_RELOADED)?;
        // The next process reads this file.
        write_configuration(&self.dir, self.reloads)
    }

    fn hang_up(&self, line: &str) -> Result<()> {
        let before = self.dormouse.count_in_log(line);
        self.dormouse.signal(Signal::HUP)?;
        self.dormouse.wait_for_log_times(line, before + 1)
    }

    /// The number of descriptors while no client is connected and the workload sleeps.
    ///
    /// # Errors
    /// When the workload does not fall asleep.
    pub(crate) fn descriptors_at_rest(&self) -> Result<usize> {
        until("the end of the woken program", LIMIT, || Ok(self.started()?.is_empty().then_some(())))
            .map_err(|failure| self.with_log(&failure))?;
        Ok(self.dormouse.descriptors()?.len())
    }

    /// Waits until dormouse is at rest again with no more descriptors than at first.
    ///
    /// # Errors
    /// When it keeps more.
    pub(crate) fn rests_with_descriptors(&self, at_first: usize) -> Result<()> {
        until(&format!("at most {at_first} descriptors and some spare ones"), LIMIT, || {
            Ok((self.descriptors_at_rest()? <= at_first + SPARE_DESCRIPTORS).then_some(()))
        })
        .map_err(|failure| self.with_log(&failure))
    }

    /// Ends dormouse in good order.
    ///
    /// # Errors
    /// When it does not exit with status 0, or a process that it started is left.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.dormouse.signal(Signal::TERM)?;
        let status = self.dormouse.wait(LIMIT)?;
        let left = self.started()?;
        if status.success() && left.is_empty() {
            return Ok(());
        }
        Err(self.with_log(&Failure::Unexpected(format!("dormouse ended with {status} and left {left:?}"))))
    }

    /// The processes that dormouse has started: their ids and command lines.
    fn started(&self) -> Result<Vec<(String, String)>> {
        let workload = format!("{}", self.dir.join("woken.sock").display());
        let all = fs::read_dir("/proc").doing(|| "list /proc".to_owned())?;
        let command = |entry: fs::DirEntry| {
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let pid = entry.file_name().into_string().ok()?;
            command.contains(&workload).then_some((pid, command))
        };
        Ok(all.flatten().filter_map(command).collect())
    }
}

fn write_configuration(dir: &TempDir, change: usize) -> Result<()> {
    let servers = SERVERS.map(|name| format!("\"DIR/{name}\"")).join(", ");
    let limit = 1000 + change;
    let text = format!(
        "log_level = \"info\"\n\
         [services.bridge]\nlisten = \"fd:bridge\"\nto = [{servers}]\nredispatch = true\nmaxconn = {limit}\n\
         [services.path]\nlisten = \"DIR/front\"\nto = [{servers}]\nredispatch = true\nmaxconn = {limit}\n\
         [services.woken]\nlisten = \"fd:woken\"\nECHO(woken.sock)\nidle = {{ stop = \"300ms\", minimum_uptime = \"1ms\" }}\n"
    );
    write(&dir.join("dormouse.toml.new"), &expand(dir, &text)?)?;
    // dormouse may read the file at any time.
    fs::rename(dir.join("dormouse.toml.new"), dir.join("dormouse.toml"))
        .doing(|| "rename the configuration".to_owned())
}

fn start_dormouse(dir: &TempDir, bridge: &Listener, woken: &Listener) -> Result<Dormouse> {
    let file = dir.join("dormouse.toml");
    let launch = Launch::dormouse().env("RUNTIME_DIRECTORY", dir.path()).nofile(1024, 20_000);
    let launch = launch.pass(bridge).pass(woken).names("bridge:woken");
    Dormouse::start(launch.arg("run").arg(format!("--config={}", file.display())))
}

/// Starts a server and waits until it accepts clients.
fn server(dir: &TempDir, index: usize) -> Result<Server> {
    let name = SERVERS.get(index).copied().unwrap_or_default();
    let path = dir.join(name);
    let mut command = Command::new("python3");
    command.args(["-S", "-E"]).arg(dir.join("echo.py")).arg(&path).stdin(Stdio::null());
    let server = Server(command.spawn().doing(|| "start a server".to_owned())?);
    connectable(&path)?;
    Ok(server)
}

fn connectable(path: &Path) -> Result<()> {
    let address = Address::Unix(path.to_owned());
    until(&format!("a listener at {}", path.display()), LIMIT, || Ok(Stream::connect(&address, SOON).ok()))?;
    Ok(())
}
