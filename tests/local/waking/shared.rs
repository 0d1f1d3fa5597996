//! One workload behind several services.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, write};
use dormouse_tests::rng::Rng;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{LIMIT, until};
use dormouse_tests::{Result, Stream, messages, scaled};

/// A program with two servers, which echo. It records its starts. The second server listens when the gate file exists.
const SERVER: &str = r#"
import asyncio, os, sys
place = sys.argv[1]
open(place + "/starts", "a").write("x")
async def serve(reader, writer):
    while words := await reader.read(100):
        writer.write(words)
        await writer.drain()
    writer.close()
async def main():
    await asyncio.start_unix_server(serve, place + "/game")
    while not os.path.exists(place + "/gate"): await asyncio.sleep(0.01)
    await asyncio.start_unix_server(serve, place + "/console")
    await asyncio.Event().wait()
asyncio.run(main())
"#;

/// A program with two servers. Its first two runs end as soon as each server has taken a connection, or with the first
/// one; the next run echoes.
const BRIEF: &str = r#"
import os, select, socket, sys
place = sys.argv[1]
runs = os.path.getsize(place + "/starts") if os.path.exists(place + "/starts") else 0
open(place + "/starts", "a").write("x")
listeners = []
for name in "game", "console":
    path = place + "/" + name
    if os.path.exists(path): os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    listeners.append(listener)
if runs == 0:
    for listener in listeners: listener.accept()
    sys.exit(0)
if runs == 1:
    select.select(listeners, [], [])[0][0].accept()
    sys.exit(0)
clients = []
while True:
    for ready in select.select(listeners + clients, [], [])[0]:
        if ready in listeners: clients.append(ready.accept()[0])
        elif words := ready.recv(100): ready.sendall(words)
        else: clients.remove(ready)
"#;

struct Scene {
    dir: TempDir,
    dormouse: Dormouse,
}

impl Scene {
    /// Starts both services, each with these lines.
    fn new(lines: &str) -> Result<Self> {
        let lines = format!("replay = false\n{lines}");
        Self::of(SERVER, [&lines, &lines])
    }

    /// Starts both services of this program, each with lines of its own.
    fn of(program: &str, lines: [&str; 2]) -> Result<Self> {
        let dir = TempDir::new()?;
        write(&dir.join("server.py"), program)?;
        let mut text = String::new();
        for (name, lines) in ["game", "console"].iter().zip(lines) {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "[services.{name}]\nlisten = LISTEN\nto = \"DIR/{name}\"\n{lines}\n\
                 wake.exec = \"python3 DIR/server.py {}\"\n",
                dir.path().display()
            );
        }
        let dormouse = Dormouse::with_config(&dir, &text, Launch::dormouse())?;
        Ok(Self { dir, dormouse })
    }

    fn open_gate(&self) -> Result<()> {
        write(&self.dir.join("gate"), "")
    }

    fn starts(&self) -> usize {
        fs::read(self.dir.join("starts")).map_or(0, |starts| starts.len())
    }

    fn client(&self, service: &str) -> Result<Stream> {
        self.dormouse.client_of(service)
    }
}

#[test]
fn clients_of_both_services_get_one_workload() -> Result<()> {
    let scene = Scene::new("")?;
    let player = scene.client("game")?;
    scene.dormouse.echo(&player, "hello")?;
    // The other server does not listen yet. Its client waits, and does not start the program again.
    let admin = scene.client("console")?;
    admin.send(b"list", LIMIT)?;
    scene.dormouse.echo(&scene.client("game")?, "more")?;
    scene.open_gate()?;
    scene.dormouse.receives(&admin, "list")?;
    assert_eq!(scene.starts(), 1);
    scene.dormouse.expect(scene.dormouse.count_in_log("game+console: ") > 0, "the log names both");
    Ok(())
}

#[test]
fn the_workload_sleeps_when_both_services_are_idle() -> Result<()> {
    let scene = Scene::new("idle = { stop = \"100ms\", minimum_uptime = 0 }")?;
    scene.open_gate()?;
    let admin = scene.client("console")?;
    scene.dormouse.echo(&admin, "first")?;
    // The idle time of the first service passes many times over while the second one is in use.
    for round in 0..5 {
        let player = scene.client("game")?;
        scene.dormouse.echo(&player, "hello")?;
        drop(player);
        assert!(
            admin.ended_within(Duration::from_millis(200))?.is_none(),
            "round {round}: the session was cut"
        );
    }
    scene.dormouse.echo(&admin, "still here")?;
    assert_eq!(scene.starts(), 1);
    drop(admin);
    scene.dormouse.wait_for_log(messages::STOPPED)?;
    scene.dormouse.echo(&scene.client("game")?, "again")?;
    assert_eq!(scene.starts(), 2);
    Ok(())
}

/// The rule of each service is for its own clients: those of the other one wake the workload, and are no way around it.
#[test]
fn a_client_that_may_not_wake_one_service_cannot_wake_the_workload_of_both() -> Result<()> {
    let denied = "wake.allow = [\"192.0.2.1\"]";
    let scene = Scene::of(SERVER, ["", denied])?;
    scene.open_gate()?;
    scene.dormouse.is_refused(&scene.client("console")?)?;
    assert_eq!(scene.starts(), 0);
    let player = scene.client("game")?;
    scene.dormouse.echo(&player, "hello")?;
    // It is awake now. To use it is no wake.
    until("the second server", LIMIT, || {
        let client = scene.client("console")?;
        client.send(b"list", LIMIT)?;
        Ok(client.receive(4, LIMIT).is_ok().then_some(()))
    })?;
    assert_eq!(scene.starts(), 1);
    Ok(())
}

/// A run that ends in good order with its first connections was ready at each port that took one. The clients of both
/// get the next run.
#[test]
fn a_run_that_ends_with_its_first_connections_leaves_the_clients_of_both_to_the_next_one() -> Result<()> {
    let scene = Scene::of(BRIEF, ["replay = true"; 2])?;
    let clients = [scene.client("game")?, scene.client("console")?];
    for client in &clients {
        client.send(b"hello", LIMIT)?;
    }
    for client in &clients {
        scene.dormouse.receives(client, "hello")?;
    }
    assert_eq!(scene.starts(), 3);
    assert_eq!(scene.dormouse.count_in_log(messages::FAILED), 0);
    Ok(())
}

/// Equal commands are one workload. Its scripts, and the command that shows that one of its servers is ready, learn by
/// `DORMOUSE_SERVICE` whom they serve.
#[test]
fn equal_commands_of_two_services_start_one_workload() -> Result<()> {
    let dir = TempDir::new()?;
    write(&dir.join("server.py"), SERVER)?;
    write(&dir.join("gate"), "")?;
    write(
        &dir.join("start.sh"),
        "cd \"$1\"; echo $DORMOUSE_SERVICE >> names\npython3 server.py . > /dev/null 2>&1 & echo $! > pid",
    )?;
    write(&dir.join("ready.sh"), "cd \"$1\"; echo $DORMOUSE_SERVICE >> asked\ntest -S game -a -S console")?;
    write(&dir.join("stop.sh"), "kill $(cat \"$1/pid\")\necho $DORMOUSE_SERVICE >> \"$1/names\"")?;
    let services = ["game", "console"].map(|name| {
        format!(
            "[services.{name}]\nlisten = LISTEN\nto = \"DIR/{name}\"\nready = {{ command = \"sh DIR/ready.sh DIR/\" }}\n\
             wake = {{ start = \"sh DIR/start.sh DIR/\", stop = \"sh DIR/stop.sh DIR/\" }}\n\
             idle = {{ stop = \"100ms\", minimum_uptime = 0 }}\n"
        )
    });
    let dormouse = Dormouse::with_config(&dir, &services.concat(), Launch::dormouse())?;
    let clients = [dormouse.client_of("game")?, dormouse.client_of("console")?];
    for client in &clients {
        dormouse.echo(client, "hello")?;
    }
    drop(clients);
    dormouse.wait_for_log(messages::STOPPED)?;
    let lines = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    assert_eq!(
        (lines("names").as_str(), lines("starts").as_str()),
        ("game+console\n".repeat(2).as_str(), "x")
    );
    let mut asked: Vec<_> = lines("asked").lines().map(str::to_owned).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["console", "game"]);
    Ok(())
}

/// Sessions of random length on both services, with pauses around the idle time: none is cut by the other's idleness.
#[test]
fn no_session_is_cut_by_the_other_service() -> Result<()> {
    const ROUNDS: usize = scaled(60, 300);
    let scene = Scene::new("idle = { stop = \"30ms\", minimum_uptime = 0 }")?;
    scene.open_gate()?;
    let mut rng = Rng::new(rng_seed());
    let mut open: Vec<Stream> = Vec::new();
    for round in 0..ROUNDS {
        let service = if rng.below(2) == 0 { "game" } else { "console" };
        let client = scene.client(service)?;
        scene.dormouse.echo(&client, "hello")?;
        open.push(client);
        for client in &open {
            scene.dormouse.echo(client, "still here")?;
        }
        let kept = usize::try_from(rng.below(3)).unwrap_or_default();
        open.drain(..open.len().saturating_sub(kept));
        let pause = Duration::from_millis(rng.below(60));
        // The pause is the test's input, not a wait for something.
        std::thread::sleep(pause);
        assert!(scene.starts() <= round + 1);
    }
    drop(open);
    until("the end of the program", LIMIT, || {
        Ok((scene.dormouse.count_in_log(messages::STOPPED) >= 1).then_some(()))
    })
}

fn rng_seed() -> u64 {
    std::env::var("DORMOUSE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(14)
}
