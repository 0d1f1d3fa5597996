//! One unit or container behind two services: each has a port of its own, and neither's idleness concerns the other.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use dormouse_tests::machine::{DORMOUSE, Machine, SETTLE, case, ensure, write};
use dormouse_tests::nginx::{self, Start};
use dormouse_tests::rng::{Rng, seed};
use dormouse_tests::{Address, Ending, Failure, Result, Stream, messages, rounds};

use super::container::podman::Podman;
use super::unit::stage::{NGINX, REQUEST_LIMIT, WEB};

const LIMIT: Duration = Duration::from_secs(1200);

/// The number of random rounds if `DORMOUSE_ROUNDS` is not set.
const ROUNDS: u64 = 60;

/// The ports of dormouse: one of each service.
const GAME: u16 = 8080;
const CONSOLE: u16 = 8090;

/// The idle times of both services, and a time in which they pass.
const STOPPING: &str = "idle = { stop = \"150ms\", minimum_uptime = 0 }";
const FREEZING: &str = "idle = { freeze = \"50ms\", stop = \"infinity\", minimum_uptime = 0 }";
const PAST_IDLE: Duration = Duration::from_millis(400);

/// The second server of the container: files, or an echo.
const FILES: &str = "httpd -p 8082 -h /www";
const ECHO: &str = "busybox nc -ll -p 8082 -e busybox cat &";

case!(User, a_session_keeps_a_unit_from_the_stop_of_another_service, LIMIT, |machine| {
    stays_awake(&Scene::unit(machine, Sleep::Stop, STOPPING)?)
});
case!(System, a_session_keeps_a_unit_from_the_freeze_of_another_service, LIMIT, |machine| {
    stays_awake(&Scene::unit(machine, Sleep::Freeze, FREEZING)?)
});
case!(User, a_session_keeps_a_container_from_the_stop_of_another_service, LIMIT, |machine| {
    stays_awake(&Scene::container(machine, ECHO, Sleep::Stop, STOPPING)?)
});
case!(User, a_session_keeps_a_container_from_the_freeze_of_another_service, LIMIT, |machine| {
    stays_awake(&Scene::container(machine, ECHO, Sleep::Freeze, FREEZING)?)
});
case!(User, no_session_of_two_services_of_a_unit_is_cut, LIMIT, |machine| {
    let idle = STOPPING.replace("150ms", "40ms");
    random_rounds(&Scene::unit(machine, Sleep::Stop, &idle)?, rounds(ROUNDS)?)
});
case!(User, no_session_of_two_services_of_a_container_is_cut, LIMIT, |machine| {
    let idle = STOPPING.replace("150ms", "60ms");
    random_rounds(&Scene::container(machine, FILES, Sleep::Stop, &idle)?, rounds(ROUNDS)?.div_ceil(2))
});

/// How the workload sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Stop,
    Freeze,
}

/// What both services wake.
enum Workload<'a> {
    Unit,
    Container(Podman<'a>),
}

/// dormouse with two services of one workload.
struct Scene<'a> {
    machine: &'a Machine,
    workload: Workload<'a>,
    sleep: Sleep,
}

impl<'a> Scene<'a> {
    fn unit(machine: &'a Machine, sleep: Sleep, idle: &str) -> Result<Self> {
        let runtime = machine.runtime();
        let listen = "127.0.0.1:8081; listen 127.0.0.1:8082";
        write(
            &runtime.join("nginx.conf"),
            &nginx::configuration(&runtime.join("web"), listen, Start::Quick),
        )?;
        machine.install(&[(WEB, NGINX)])?;
        Self { machine, workload: Workload::Unit, sleep }.start("unit", WEB, idle)
    }

    /// `second`: the command for its second server, which does not wait for its end.
    fn container(machine: &'a Machine, second: &str, sleep: Sleep, idle: &str) -> Result<Self> {
        let podman = Podman::new(machine)?;
        let servers = format!("{second}\nexec /bin/web");
        podman.create(&["--network=host"], &["/bin/sh", "-c", &servers])?;
        Self { machine, workload: Workload::Container(podman), sleep }.start("container", "web", idle)
    }

    fn start(self, kind: &str, name: &str, idle: &str) -> Result<Self> {
        let services: Vec<String> = [("game", GAME, 8081), ("console", CONSOLE, 8082)]
            .iter()
            .map(|(service, port, to)| {
                format!(
                    "[services.{service}]\nlisten = \"127.0.0.1:{port}\"\nto = \"127.0.0.1:{to}\"\n\
                     wake.{kind} = \"{name}\"\nwake.foreign_listener = \"allow\"\n{idle}\n"
                )
            })
            .collect();
        let file = self.machine.runtime().join("two.toml");
        write(&file, &services.concat())?;
        let unit = format!(
            "[Unit]\nAfter=podman.socket podman.service dbus.socket\n[Service]\nType=notify\n\
             ExecStart={DORMOUSE} run --config={}\nStandardError=append:{}\n",
            file.display(),
            self.log_path().display()
        );
        self.machine.install(&[("front.service", &unit)])?;
        self.machine.systemctl(&["start", "front.service"]).map_err(|failure| self.with_log(&failure))?;
        Ok(self)
    }

    fn log_path(&self) -> PathBuf {
        self.machine.runtime().join("front.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn with_log(&self, failure: &Failure) -> Failure {
        Failure::Unexpected(format!("{failure}\ndormouse logged:\n{}", self.log()))
    }

    /// The main process of the workload.
    fn process(&self) -> Result<String> {
        match &self.workload {
            Workload::Unit => self.machine.property(WEB, "MainPID"),
            Workload::Container(podman) => podman.process(),
        }
    }

    /// Waits until the workload sleeps.
    fn wait_for_sleep(&self) -> Result<()> {
        match (&self.workload, self.sleep) {
            (Workload::Unit, Sleep::Stop) => self.machine.wait(WEB, "ActiveState", "inactive", SETTLE),
            (Workload::Unit, Sleep::Freeze) => self.machine.wait(WEB, "FreezerState", "frozen", SETTLE),
            (Workload::Container(podman), Sleep::Stop) => podman.wait_for_end(),
            (Workload::Container(podman), Sleep::Freeze) => podman.wait("paused"),
        }
    }

    /// What a session of the second service sends and receives. Its server keeps the connection open.
    fn dialogue(&self) -> (&'static [u8], &'static [u8]) {
        match &self.workload {
            Workload::Unit => (b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", b"\r\n\r\n\n"),
            Workload::Container(_) => (b"hello\n", b"hello\n"),
        }
    }

    /// The number of starts that dormouse has made.
    fn starts(&self) -> usize {
        self.log().matches(messages::STARTING).count()
    }
}

/// A session that has not said anything yet.
struct Session(Stream);

impl Session {
    fn open(port: u16) -> Result<Self> {
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        Ok(Self(Stream::connect(&address, REQUEST_LIMIT)?))
    }

    /// Sends a request, and fails unless the answer is complete and ends with an orderly close.
    fn finish(self) -> Result<()> {
        self.0.send(b"GET / HTTP/1.0\r\n\r\n", REQUEST_LIMIT)?;
        let received = self.0.receive_to_end(REQUEST_LIMIT)?;
        let text = String::from_utf8_lossy(&received.bytes);
        ensure(text.contains(" 200 ") && received.ending == Ending::Fin, || {
            format!("the answer is {text:?}, ended by {:?}", received.ending)
        })
    }

    /// Sends words, and receives until their answer is complete.
    fn exchange(&self, (words, end): (&[u8], &[u8])) -> Result<()> {
        self.0.send(words, REQUEST_LIMIT)?;
        let mut answer = Vec::new();
        while !answer.ends_with(end) {
            answer.extend(self.0.receive(1, REQUEST_LIMIT)?);
        }
        Ok(())
    }

    /// Opens a session that has reached the server: a later one of the same service was served.
    fn established(port: u16) -> Result<Self> {
        let session = Self::open(port)?;
        ask(port)?;
        Ok(session)
    }
}

fn ask(port: u16) -> Result<()> {
    Session::open(port)?.finish()
}

/// A session of the second service stays, and exchanges bytes again and again, while the first one goes idle.
fn stays_awake(scene: &Scene<'_>) -> Result<()> {
    let outcome = (0..2).try_for_each(|round| {
        let in_round = |failure| Failure::Unexpected(format!("round {round}: {failure}"));
        let before = scene.starts();
        // The first service wakes the workload, and is in use until the second one is.
        let player = Session::established(GAME)?;
        let session = Session::open(CONSOLE)?;
        session.exchange(scene.dialogue()).map_err(in_round)?;
        let process = scene.process()?;
        player.finish().map_err(in_round)?;
        for _ in 0..3 {
            // The idle time of the first service passes. This is what is tested, not a wait for something.
            thread::sleep(PAST_IDLE);
            session
                .exchange(scene.dialogue())
                .map_err(|failure| in_round(Failure::Unexpected(format!("the other is idle: {failure}"))))?;
            ask(GAME)?;
        }
        let (now, starts) = (scene.process()?, scene.starts() - before);
        let expected = usize::from(round == 0 || scene.sleep == Sleep::Stop);
        ensure(now == process && starts == expected, || format!("round {round}: {starts} starts"))?;
        drop(session);
        scene.wait_for_sleep()
    });
    outcome.map_err(|failure| scene.with_log(&failure))
}

/// Sessions of both services come and go around the idle time. None is cut.
fn random_rounds(scene: &Scene<'_>, rounds: u64) -> Result<()> {
    let seed = seed()?;
    println!("{rounds} rounds with DORMOUSE_SEED={seed:#x}");
    let mut rng = Rng::new(seed);
    let mut open = Vec::new();
    for round in 0..rounds {
        let outcome = (|| {
            open.push(Session::established(if rng.chance(50) { GAME } else { CONSOLE })?);
            thread::sleep(rng.duration(Duration::from_millis(120)));
            let kept = usize::try_from(rng.below(3)).unwrap_or_default();
            while open.len() > kept {
                let index = usize::try_from(rng.below(open.len() as u64)).unwrap_or_default();
                open.swap_remove(index).finish()?;
            }
            thread::sleep(rng.duration(Duration::from_millis(120)));
            Ok(())
        })();
        outcome.map_err(|failure: Failure| {
            scene.with_log(&Failure::Unexpected(format!("round {round}: {failure}")))
        })?;
    }
    open.into_iter().try_for_each(Session::finish).map_err(|failure| scene.with_log(&failure))?;
    let starts = scene.starts();
    println!("{starts} starts");
    // A run in which it never slept does not test the stop.
    ensure(starts > 1, || "the workload never slept".to_owned())?;
    scene.wait_for_sleep().map_err(|failure| scene.with_log(&failure))
}
