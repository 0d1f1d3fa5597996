//! Restarts under a real service manager: listeners and what was woken outlive the program.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, case, ensure, write};
use dormouse_tests::messages;
use dormouse_tests::{Address, Failure, Result, Stream, wait};

use super::load::{Echo, Load};

const LIMIT: Duration = Duration::from_secs(300);
/// How many restarts there are, unless `DORMOUSE_ROUNDS` says otherwise.
const RESTARTS: u32 = 20;
/// Clients a second.
const RATE: u32 = 500;
const FRONT: &str = "front.service";
/// Where it listens.
const ADDRESS: &str = "127.0.0.1:8080";

case!(User, no_client_is_refused_in_a_restart, LIMIT, restarts);
case!(System, no_client_is_refused_in_a_restart_of_the_system, LIMIT, restarts);
case!(User, no_client_is_refused_in_a_crash, LIMIT, crashes);
case!(User, what_was_woken_is_ours_after_a_crash, LIMIT, |machine| ours_after_a_crash(machine, STORE));
case!(System, what_was_woken_is_ours_by_a_file, LIMIT, |machine| ours_after_a_crash(machine, DIRECTORY));
case!(User, a_kept_listener_makes_room_for_another, LIMIT, other_listeners);
case!(User, systemctl_reload_waits_for_its_end, LIMIT, reload);
case!(User, a_bad_file_ends_it_with_its_status, LIMIT, bad_file);

/// As the manager of Debian 12 needs it, which does not say that it keeps descriptors.
const STORE: &str = "FileDescriptorStoreMax=16\nEnvironment=FDSTORE=16\n";
const DIRECTORY: &str = "RuntimeDirectory=front\nRuntimeDirectoryPreserve=restart\n";

struct Stage<'a> {
    machine: &'a Machine,
}

impl<'a> Stage<'a> {
    /// A dormouse of this program with this file, in a service with these lines.
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
            as_shipped(),
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

    /// Has it read the file, and waits until the log has told that so often.
    fn reload(&self, part: &str, times: usize) -> Result<()> {
        self.systemctl(&["reload", FRONT])?;
        let told = || Ok((self.log().matches(part).count() >= times).then_some(()));
        wait::until(&format!("{part:?} in the log"), SETTLE, told).map_err(|failure| self.with_log(&failure))
    }

    fn process(&self) -> Result<u64> {
        self.machine.number(FRONT, "MainPID")
    }
}

/// What the unit that is shipped says of telling the manager.
fn as_shipped() -> String {
    let unit = include_str!("../../../docs/examples/dormouse.service");
    let telling =
        |line: &&str| ["Type=", "NotifyAccess=", "ExecReload="].iter().any(|key| line.starts_with(key));
    unit.lines().filter(telling).collect::<Vec<_>>().join("\n")
}

fn rounds() -> u32 {
    std::env::var("DORMOUSE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(RESTARTS)
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn bridge(echo: &Echo) -> String {
    format!("drain_timeout = '20s'\n[services.web]\nlisten = '{ADDRESS}'\nto = '{}'\n", echo.address)
}

/// Each other time it is another file, as after an upgrade.
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
    for round in 0..rounds() {
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
    println!("{} restarts, {} clients served, the slowest took {:?}", rounds(), tally.served, tally.slowest);
    tally.all_served().map_err(|failure| stage.with_log(&failure))?;
    processes.dedup();
    let different = processes.len() == rounds() as usize + 1;
    ensure(different, || "a restart was none".to_owned())?;
    // Once more: what is stored does not grow.
    let stored = machine.property(FRONT, "NFileDescriptorStore")?;
    ensure(stored == "2", || format!("{stored} descriptors are stored"))
}

/// Sessions end with the process, but nobody who comes is refused.
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
            // Accepted by whichever process; who met the old one is cut off.
            for address in [Address::Tcp(address()), Address::Unix(path.clone())] {
                Stream::connect(&address, SETTLE).map_err(|failure| stage.with_log(&failure))?;
            }
        }
        wait::until("another process", SETTLE, || Ok((stage.process()? > process).then_some(())))
            .map_err(|failure| stage.with_log(&failure))?;
    }
    ensure(first.is_some() && inode() == first, || "it is another socket's file".to_owned())?;
    // In good order it is the same, and one that is not wanted any more goes.
    stage.systemctl(&["restart", FRONT])?;
    ensure(inode() == first, || "it is another socket's file after a restart".to_owned())?;
    stage.write(&bridge(&echo))?;
    stage.systemctl(&["restart", FRONT])?;
    machine.wait(FRONT, "NFileDescriptorStore", "2", SETTLE).map_err(|failure| stage.with_log(&failure))?;
    let load = Load::start(vec![address()], RATE);
    wait::until("clients", SETTLE, || Ok((load.served() > 100).then_some(())))?;
    load.finish()?.all_served().map_err(|failure| stage.with_log(&failure))
}

/// It is put to sleep in time by the next process, and taken along at its end.
fn ours_after_a_crash(machine: &Machine, lines: &str) -> Result<()> {
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
    // What somebody else has started stays.
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
            // Nobody comes: it is known all the same.
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

/// What the manager keeps of an address would be in the way of whoever listens at one that covers it, or in another way.
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
    // Nothing has changed: what was closed to make room is open again, and kept again.
    let other = format!("[services.other]\nlisten = '{}'\nto = '{}'\n", taken.address(), echo.address);
    for round in 0..2 {
        stage.write(&format!("{}{other}", file("*:8080")))?;
        stage.reload("was not reloaded", round + 1)?;
        served("after a reload that failed")?;
    }
    // It may change while it does not run, too.
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
    // Many of them, so that it lasts.
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
    let status = wait::until("a status that tells it", SETTLE, || {
        let status = machine.property(FRONT, "StatusText")?;
        Ok(status.contains("was not reloaded: ").then_some(status))
    })?;
    ensure(status.contains("dormouse.toml:1"), || status.clone())?;
    ensure(stage.process()? == process, || "it is another process".to_owned())
}

fn bad_file(machine: &Machine) -> Result<()> {
    let stage = Stage { machine };
    let failed = Stage::new(machine, DORMOUSE, "nonsense\n", "RestartPreventExitStatus=CONFIG\n");
    ensure(failed.is_err(), || "it started".to_owned())?;
    machine.expect(FRONT, "ExecMainStatus", "78")?;
    machine.expect(FRONT, "NRestarts", "0").map_err(|failure| stage.with_log(&failure))
}
