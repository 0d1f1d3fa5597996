//! Crowds that arrive while a service starts.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::Dormouse;
use dormouse_tests::temp::TempDir;
use dormouse_tests::{Failure, Result, process, scaled, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The number of clients that dormouse holds in the tests of the limit.
const HELD: usize = scaled(100, 1024);
/// The number of clients that come at once in the tests of the limit.
const CROWD: usize = 5 * HELD;
/// Long enough for a crowd on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Counts its starts in a file, listens when the gate is there, then answers every client with its own words.
const SERVER: &str = r#"
import asyncio, os, sys, time
open(sys.argv[2], "a").write("x")
while not os.path.exists(sys.argv[3]): time.sleep(0.01)
async def serve(reader, writer):
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_unix_server(serve, sys.argv[1], backlog=4096) as server:
        await server.serve_forever()
asyncio.run(main())
"#;

/// A dormouse in front of such a server.
struct Scene {
    dir: TempDir,
    starts: PathBuf,
    dormouse: Dormouse,
    address: String,
}

impl Scene {
    fn new(flags: &[&str]) -> Result<Self> {
        process::raise_own_nofile(6000)?;
        let dir = TempDir::new()?;
        let (script, starts, socket) = (dir.join("server.py"), dir.join("starts"), dir.join("socket"));
        fs::write(&script, SERVER).doing(|| "write the server".to_owned())?;
        let words = [&script, &socket, &starts, &dir.join("gate")].map(|path| path.display().to_string());
        let exec = format!("python3 {}", words.join(" "));
        let launch = Launch::dormouse()
            .args(["run", "--listen=127.0.0.1:0", "--maxconn=6000"])
            .arg(format!("--to={}", socket.display()))
            .arg(format!("--exec={exec}"))
            .args(flags)
            .nofile(1024, 20_000);
        let dormouse = Dormouse::start(launch)?;
        let address = dormouse.address()?.to_string();
        Ok(Self { dir, starts, dormouse, address })
    }

    /// So many clients at once, while it starts; and what is seen when this is there, before it listens.
    fn crowd_at_the_gate<T>(
        &self,
        clients: usize,
        seen: impl Fn() -> Result<Option<T>>,
    ) -> Result<(Crowd, T)> {
        std::thread::scope(|scope| {
            let crowd = scope.spawn(|| self.crowd(clients));
            let seen = wait::until("a held crowd", LIMIT, seen);
            fs::write(self.dir.join("gate"), "").doing(|| "open the gate".to_owned())?;
            let crowd = crowd.join().map_err(|_| Failure::Unexpected("the crowd panicked".to_owned()))??;
            Ok((crowd, seen.map_err(|failure| self.dormouse.with_log(&failure))?))
        })
    }

    /// How many descriptors it has, if they are so many.
    fn holds(&self, least: usize) -> Result<Option<usize>> {
        let open = self.dormouse.descriptors()?.len();
        Ok((open >= least).then_some(open))
    }

    /// So many clients at once.
    fn crowd(&self, clients: usize) -> Result<Crowd> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.doing(|| "make a runtime".to_owned())?;
        Ok(runtime.block_on(async {
            let mut all = JoinSet::new();
            for number in 0..clients {
                let address = self.address.clone();
                all.spawn(tokio::time::timeout(LIMIT, converse(address, number)));
            }
            let mut crowd = Crowd::default();
            while let Some(done) = all.join_next().await {
                match done {
                    Ok(Ok(Ok(heard))) if heard.is_empty() => crowd.turned_away += 1,
                    Ok(Ok(Ok(_))) => crowd.right += 1,
                    Ok(Ok(Err(error))) if error.kind() != ErrorKind::InvalidData => crowd.turned_away += 1,
                    // Somebody else's words, or none and no end.
                    _ => crowd.lost += 1,
                }
            }
            crowd
        }))
    }

    fn starts(&self) -> Result<u64> {
        Ok(fs::metadata(&self.starts).doing(|| "look at the starts".to_owned())?.len())
    }

    /// The most memory that it ever had, in KiB.
    fn peak(&self) -> Result<u64> {
        let text = self.dormouse.status_field("VmHWM")?;
        let kib = text.split_whitespace().next().and_then(|number| number.parse().ok());
        kib.ok_or(Failure::Unexpected(text))
    }
}

/// What became of clients.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crowd {
    /// Their own words came back.
    right: usize,
    /// Their connection was ended, and nothing came back.
    turned_away: usize,
    /// Anything else.
    lost: usize,
}

/// What came back: nothing, or what was said.
async fn converse(address: String, number: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let words = format!("client {number}\n");
    stream.write_all(words.as_bytes()).await?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    if heard.is_empty() || heard == words { Ok(heard) } else { Err(ErrorKind::InvalidData.into()) }
}

#[track_caller]
fn expect(scene: &Scene, holds: bool, what: &str) {
    assert!(holds, "{what}\n{}", scene.dormouse.stderr().text());
}

#[test]
fn a_thousand_clients_make_one_start_and_get_a_thousand_answers() {
    let scene = Scene::new(&[]).unwrap();
    let (crowd, _) = scene.crowd_at_the_gate(1000, || scene.holds(1000)).unwrap();
    expect(&scene, crowd.right == 1000, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
    let peak = scene.peak().unwrap();
    // Two sockets and what is held for a session: far below 16 KiB each, beside the program itself.
    expect(&scene, peak < 8 * 1024 + 16 * 1000, &format!("{peak} KiB"));
}

#[test]
fn beyond_what_is_held_clients_are_turned_away_and_that_is_said() {
    let scene = Scene::new(&["--overflow=refuse", &format!("--hold-max={HELD}")]).unwrap();
    let told = || scene.dormouse.stderr().text().contains(messages::TOO_MANY_HELD);
    let (crowd, ()) = scene.crowd_at_the_gate(CROWD, || Ok(told().then_some(()))).unwrap();
    // Whoever comes when the server is there already is served, too.
    expect(&scene, crowd.right >= HELD && crowd.turned_away > 0 && crowd.lost == 0, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
}

#[test]
fn beyond_what_is_held_clients_wait_in_the_backlog_where_that_is_wanted() {
    let scene = Scene::new(&["--overflow=queue", &format!("--hold-max={HELD}")]).unwrap();
    // While it starts, no more than are held have a descriptor.
    let (crowd, most) = scene.crowd_at_the_gate(CROWD, || scene.holds(HELD)).unwrap();
    expect(&scene, most <= HELD + 100, &format!("{most} descriptors while it starts"));
    expect(&scene, crowd.right == CROWD, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
}
