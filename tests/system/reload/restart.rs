//! Restarts by a real service manager: listeners and woken workloads outlive dormouse.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, case, ensure, write};
use dormouse_tests::messages;
use dormouse_tests::{Address, Failure, Result, Stream, rounds, wait};

use super::load::{Echo, Load};

const LIMIT: Duration = Duration::from_secs(300);
/// The number of restarts if `DORMOUSE_ROUNDS` is not set.
const RESTARTS: usize = 20;
/// The clients per second.
const RATE: u32 = 500;
const FRONT: &str = "front.service";
/// The address of the listener.
const ADDRESS: &str = "127.0.0.1:8080";

case!(User, no_client_is_refused_during_a_restart, LIMIT, restarts);
case!(System, no_client_is_refused_during_a_restart_by_the_system_manager, LIMIT, restarts);
case!(User, no_client_is_refused_during_a_crash, LIMIT, crashes);
case!(User, woken_units_are_recovered_after_a_crash_from_the_descriptor_store, LIMIT, |machine| {
    recovers_woken_units(machine, STORE)
});
case!(System, woken_units_are_recovered_after_a_crash_from_the_runtime_directory, LIMIT, |machine| {
    recovers_woken_units(machine, DIRECTORY)
});
case!(User, a_stored_listener_is_replaced_by_an_overlapping_one, LIMIT, other_listeners);
case!(User, systemctl_reload_waits_until_the_reload_is_done, LIMIT, reload);
case!(User, an_invalid_configuration_exits_with_status_78, LIMIT, bad_file);

/// The manager of Debian 12 does not announce its descriptor store in the environment, so that the unit sets
/// FDSTORE itself.
const STORE: &str = "FileDescriptorStoreMax=16\nEnvironment=FDSTORE=16\n";
const DIRECTORY: &str = "RuntimeDirectory=front\nRuntimeDirectoryPreserve=restart\n";

struct Stage<'a> {
    machine: &'a Machine,
}

impl<'a> Stage<'a> {
    /// Starts dormouse from this path with this configuration, as a unit with these additional lines.
    fn new(machine: &'a Machine, program: &str, file: &str, lines: &str) -> Result<Self> {
        let stage = Self { machine };
        stage.write(file)?;
        let unit = format!(
            "\
[Unit]
StartLimitIntervalSec=0
[Service]
{}
ExecStart={program} run --config={}
StandardError=append:{}
Restart=on-failure
RestartSec=0
{lines}",
            shipped_lines(),
            stage.file().display(),
            stage.log_path().display()
        );
        machine.install(&[(FRONT, &unit)])?;
        stage.systemctl(&["start", FRONT])?;
        Ok(stage)
    }

    fn write(&self, text: &str) -> Result<()> {
        write(&self.file(), text)
    }

    fn file(&self) -> PathBuf {
        self.machine.runtime().join("dormouse.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.machine.runtime().join("front.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn systemctl(&self, args: &[&str]) -> Result<String> {
        self.machine.systemctl(args).map_err(|failure| self.with_log(&failure))
    }

    fn with_log(&self, failure: &Failure) -> Failure {
        let log = self.log();
        let tail = log.get(log.len().saturating_sub(6000)..).unwrap_or(&log);
        Failure::Unexpected(format!("{failure}\ndormouse logged:\n{tail}"))
    }

    fn wait_for_log(&self, part: &str) -> Result<()> {
        wait::until(&format!("{part:?} in the log"), SETTLE, || Ok(self.log().contains(part).then_some(())))
            .map_err(|failure| self.with_log(&failure))
    }

    /// Reloads the unit and waits until the log contains `part` this many times.
    fn reload(&self, part: &str, times: usize) -> Result<()> {
        self.systemctl(&["reload", FRONT])?;
        let found = || Ok((self.log().matches(part).count() >= times).then_some(()));
        wait::until(&format!("{part:?} in the log"), SETTLE, found).map_err(|failure| self.with_log(&failure))
    }

    fn process(&self) -> Result<u64> {
        self.machine.number(FRONT, "MainPID")
    }
}

/// Returns the lines of the shipped unit that concern notification and reload.
fn shipped_lines() -> String {
    let unit = include_str!("../../../docs/examples/dormouse.service");
    let relevant =
        |line: &&str| ["Type=", "NotifyAccess=", "ExecReload="].iter().any(|key| line.starts_with(key));
    unit.lines().filter(relevant).collect::<Vec<_>>().join("\n")
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn bridge(echo: &Echo) -> String {
    format!("drain_timeout = '20s'\n[services.web]\nlisten = '{ADDRESS}'\nto = '{}'\n", echo.address)
}

/// Every second restart uses a new program file, as after an upgrade.
fn restarts(machine: &Machine) -> Result<()> {
    let echo = Echo::start()?;
    let program = machine.runtime().join("dormouse");
    let upgrade = || -> Result<()> {
        let new = machine.runtime().join("dormouse.new");
        fs::copy(DORMOUSE, &new)
            .map_err(|error| Failure::Unexpected(format!("copy the program: {error}")))?;
        fs::rename(&new, &program).map_err(|error| Failure::Unexpected(format!("put it in place: {error}")))
    };
    upgrade()?;
    let stage = Stage::new(machine, &program.display().to_string(), &bridge(&echo), STORE)?;
    let load = Load::start(vec![address()], RATE);
    let mut processes = vec![stage.process()?];
    let restarts = rounds(RESTARTS)?;
    for round in 0..restarts {
        let served = load.served();
        if round % 2 == 1 {
            upgrade()?;
        }
        stage.systemctl(&["restart", FRONT])?;
        processes.push(stage.process()?);
        wait::until("clients", SETTLE, || Ok((load.served() > served + 250).then_some(())))
            .map_err(|failure| stage.with_log(&failure))?;
    }
    let tally = load.finish()?;
    println!("{restarts} restarts, {} clients served, the slowest took {:?}", tally.served, tally.slowest);
    tally.all_served().map_err(|failure| stage.with_log(&failure))?;
    processes.dedup();
    let different = processes.len() == restarts + 1;
    ensure(different, || "a restart did not replace the process".to_owned())?;
    // The number of stored descriptors does not grow.
    let stored = machine.property(FRONT, "NFileDescriptorStore")?;
    ensure(stored == "2", || format!("{stored} descriptors are stored"))
}

/// Sessions end with the process, but no new client is refused.
fn crashes(machine: &Machine) -> Result<()> {
    let echo = Echo::start()?;
    let path = machine.runtime().join("front.sock");
    let file = bridge(&echo)
        .replace(&format!("'{ADDRESS}'"), &format!("['{ADDRESS}', '{}?mode=0600']", path.display()));
    let stage = Stage::new(machine, DORMOUSE, &file, STORE)?;
    let inode = || fs::metadata(&path).map(|metadata| metadata.ino()).ok();
    let first = inode();
    for _ in 0..10 {
        let process = stage.process()?;
        stage.systemctl(&["kill", "--signal=KILL", FRONT])?;
        for _ in 0..20 {
            // Either process may accept the connection; a session of the killed process ends.
            for address in [Address::Tcp(address()), Address::Unix(path.clone())] {
                Stream::connect(&address, SETTLE).map_err(|failure| stage.with_log(&failure))?;
            }
        }
        wait::until("another process", SETTLE, || Ok((stage.process()? > process).then_some(())))
            .map_err(|failure| stage.with_log(&failure))?;
    }
    ensure(first.is_some() && inode() == first, || "the socket file was replaced".to_owned())?;
    // An orderly restart keeps the socket file too, and a listener that was removed from the configuration is
    // removed.
    stage.systemctl(&["restart", FRONT])?;
    ensure(inode() == first, || "the socket file was replaced by a restart".to_owned())?;
    stage.write(&bridge(&echo))?;
    stage.systemctl(&["restart", FRONT])?;
    machine.wait(FRONT, "NFileDescriptorStore", "2", SETTLE).map_err(|failure| stage.with_log(&failure))?;
    let load = Load::start(vec![address()], RATE);
    wait::until("clients", SETTLE, || Ok((load.served() > 100).then_some(())))?;
    load.finish()?.all_served().map_err(|failure| stage.with_log(&failure))
}

/// The next process stops the woken unit when it is idle, and stops it at its own end.
fn recovers_woken_units(machine: &Machine, lines: &str) -> Result<()> {
    const WEB: &str = "web.service";
    machine.install(&[
        (WEB, "[Service]\nType=exec\nSuccessExitStatus=143\nExecStart=/usr/bin/socat TCP-LISTEN:8081,bind=127.0.0.1,reuseaddr,fork EXEC:cat\n"),
        ("other.service", "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n"),
    ])?;
    let file = |stop: &str| {
        format!(
            "[services.web]\nlisten = '{ADDRESS}'\nto = '127.0.0.1:8081'\nwake = {{ unit = '{WEB}' }}\n\
             idle = {{ stop = '{stop}', minimum_uptime = 0 }}\n\
             [services.other]\nlisten = '127.0.0.1:8090'\nto = '127.0.0.1:8091'\nready = 'notify'\n\
             wake = {{ unit = 'other.service' }}\nidle = {{ stop = '300ms', minimum_uptime = 0 }}\n"
        )
    };
    let stage = Stage::new(machine, DORMOUSE, &file("infinity"), lines)?;
    // A unit that another program has started keeps running.
    stage.systemctl(&["start", "other.service"])?;
    let crash = || -> Result<()> {
        let process = stage.process()?;
        stage.systemctl(&["kill", "--signal=KILL", FRONT])?;
        wait::until("another process", SETTLE, || {
            Ok((stage.process()? > process && machine.property(FRONT, "ActiveState")? == "active")
                .then_some(()))
        })
    };
    let visit = || -> Result<()> {
        let stream = Stream::connect(&Address::Tcp(address()), SETTLE)?;
        stream.send(b"hello", SETTLE)?;
        stream.receive(5, SETTLE).map(drop).map_err(|failure| stage.with_log(&failure))
    };
    visit()?;
    for round in 0..2 {
        crash()?;
        machine.expect(WEB, "ActiveState", "active")?;
        if round == 1 {
            // No client connects: dormouse recovers the unit without one.
            stage.write(&file("300ms"))?;
            crash()?;
            machine
                .wait(WEB, "ActiveState", "inactive", SETTLE)
                .map_err(|failure| stage.with_log(&failure))?;
        } else {
            visit()?;
        }
    }
    visit()?;
    stage.write(&file("infinity"))?;
    visit()?;
    crash()?;
    visit()?;
    stage.systemctl(&["stop", FRONT])?;
    machine.wait(WEB, "ActiveState", "inactive", SETTLE).map_err(|failure| stage.with_log(&failure))?;
    machine.expect("other.service", "ActiveState", "active")
}

/// A socket in the manager's store would prevent a listener on an address that covers it, or with other options.
fn other_listeners(machine: &Machine) -> Result<()> {
    let echo = Echo::start()?;
    let taken = dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4)?;
    let path = machine.runtime().join("front.sock");
    let file = |listen: &str| {
        let (path, options) = (path.display(), options(listen));
        format!("[services.web]\nlisten = ['{listen}', '{path}{options}']\nto = '{}'\n", echo.address)
    };
    let stage = Stage::new(machine, DORMOUSE, &file(ADDRESS), STORE)?;
    let served = |what: &str| {
        for address in [Address::Tcp(address()), Address::Unix(path.clone())] {
            visit(&address).map_err(|failure| {
                stage.with_log(&Failure::Unexpected(format!("{what}, {address:?}: {failure}")))
            })?;
        }
        machine.wait(FRONT, "NFileDescriptorStore", "3", SETTLE).map_err(|failure| stage.with_log(&failure))
    };
    served("at first")?;
    for (round, listen) in ["*:8080", "*:8080?backlog=9", ADDRESS].into_iter().enumerate() {
        stage.write(&file(listen))?;
        stage.reload("1 changed (web)", round + 1)?;
        served(listen)?;
    }
    // The failed reload changes nothing: listeners that were closed for it are open and stored again.
    let other = format!("[services.other]\nlisten = '{}'\nto = '{}'\n", taken.address(), echo.address);
    for round in 0..2 {
        stage.write(&format!("{}{other}", file("*:8080")))?;
        stage.reload("was not reloaded", round + 1)?;
        served("after a reload that failed")?;
    }
    // The configuration may also change across a restart.
    for listen in ["*:8080", "*:8080?backlog=9", ADDRESS] {
        stage.write(&file(listen))?;
        stage.systemctl(&["restart", FRONT])?;
        served(listen)?;
    }
    Ok(())
}

fn options(listen: &str) -> &str {
    listen.find('?').and_then(|at| listen.get(at..)).unwrap_or_default()
}

fn visit(address: &Address) -> Result<()> {
    let stream = Stream::connect(address, SETTLE)?;
    stream.send(b"hello", SETTLE)?;
    stream.receive(5, SETTLE).map(drop)
}

fn reload(machine: &Machine) -> Result<()> {
    let echo = Echo::start()?;
    let stage = Stage::new(machine, DORMOUSE, &bridge(&echo), STORE)?;
    let process = stage.process()?;
    // Many services, so that the reload takes time.
    let others = |round: u16| -> String {
        let other = |number| {
            format!(
                "[services.other-{number}]\nlisten = '@other-{number}'\nto = '{}'\nmaxconn = {}\n",
                echo.address,
                round + 1
            )
        };
        (0..200).map(other).collect()
    };
    for round in 0..10 {
        let port = 8100 + round;
        let web = bridge(&echo).replace("8080", &port.to_string());
        stage.write(&format!("{web}{}", others(round)))?;
        stage.systemctl(&["reload", FRONT])?;
        visit(&Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))).map_err(|failure| {
            stage.with_log(&Failure::Unexpected(format!("at once after reload {round}: {failure}")))
        })?;
        machine.expect(FRONT, "ActiveState", "active")?;
    }
    stage.write("nonsense\n")?;
    stage.systemctl(&["reload", FRONT])?;
    stage.wait_for_log(messages::NOT_RELOADED)?;
    machine.expect(FRONT, "ActiveState", "active")?;
    let status = wait::until("a status that reports the failed reload", SETTLE, || {
        let status = machine.property(FRONT, "StatusText")?;
        Ok(status.contains("was not reloaded: ").then_some(status))
    })?;
    ensure(status.contains("dormouse.toml:1"), || status.clone())?;
    ensure(stage.process()? == process, || "the process was replaced".to_owned())
}

fn bad_file(machine: &Machine) -> Result<()> {
    let stage = Stage { machine };
    let failed = Stage::new(machine, DORMOUSE, "nonsense\n", "RestartPreventExitStatus=CONFIG\n");
    ensure(failed.is_err(), || "dormouse started".to_owned())?;
    machine.expect(FRONT, "ExecMainStatus", "78")?;
    machine.expect(FRONT, "NRestarts", "0").map_err(|failure| stage.with_log(&failure))
}
