//! Many clients that connect while a service starts.

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
/// The number of concurrent clients in the tests of the limit.
const CROWD: usize = 5 * HELD;
/// The time limit for many clients on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A server that records its starts in a file, listens when the gate file exists, and echoes the data of every
/// client.
const SERVER: &str = r#"
import asyncio, os, resource, sys, time
# A busy machine may have more sessions open than the soft limit allows.
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
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

/// A dormouse with this server.
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

    /// Connects this number of clients during the start, waits until `seen` returns a value, and then lets the
    /// server listen.
    fn clients_during_the_start<T>(
        &self,
        clients: usize,
        seen: impl Fn() -> Result<Option<T>>,
    ) -> Result<(Crowd, T)> {
        std::thread::scope(|scope| {
            let crowd = scope.spawn(|| self.crowd(clients));
            let seen = wait::until("held clients", LIMIT, seen);
            fs::write(self.dir.join("gate"), "").doing(|| "open the gate".to_owned())?;
            let crowd =
                crowd.join().map_err(|_| Failure::Unexpected("a client thread panicked".to_owned()))??;
            Ok((crowd, seen.map_err(|failure| self.dormouse.with_log(&failure))?))
        })
    }

    /// Returns the number of descriptors of dormouse if it is at least `least`.
    fn holds(&self, least: usize) -> Result<Option<usize>> {
        let open = self.dormouse.descriptors()?.len();
        Ok((open >= least).then_some(open))
    }

    /// Runs this number of concurrent clients.
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
                    Ok(Ok(Ok(received))) if received.is_empty() => crowd.refused += 1,
                    Ok(Ok(Ok(_))) => crowd.right += 1,
                    Ok(Ok(Err(error))) if error.kind() != ErrorKind::InvalidData => crowd.refused += 1,
                    // Another client's data, or neither data nor the end of the stream.
                    _ => crowd.lost += 1,
                }
            }
            crowd
        }))
    }

    fn starts(&self) -> Result<u64> {
        Ok(fs::metadata(&self.starts).doing(|| "get the number of starts".to_owned())?.len())
    }

    /// The peak of the resident memory of dormouse in KiB.
    fn peak(&self) -> Result<u64> {
        let text = self.dormouse.status_field("VmHWM")?;
        let kib = text.split_whitespace().next().and_then(|number| number.parse().ok());
        kib.ok_or(Failure::Unexpected(text))
    }
}

/// The results of the clients.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crowd {
    /// Clients that received the echo of their data.
    right: usize,
    /// Clients whose connection ended without data.
    refused: usize,
    /// Clients with any other result.
    lost: usize,
}

/// Sends data as one client and returns the answer.
async fn converse(address: String, number: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let words = format!("client {number}\n");
    stream.write_all(words.as_bytes()).await?;
    let mut received = String::new();
    stream.read_to_string(&mut received).await?;
    if received.is_empty() || received == words { Ok(received) } else { Err(ErrorKind::InvalidData.into()) }
}

#[track_caller]
fn expect(scene: &Scene, holds: bool, what: &str) {
    assert!(holds, "{what}\n{}", scene.dormouse.stderr().text());
}

#[test]
fn a_thousand_clients_make_one_start_and_get_a_thousand_answers() {
    let scene = Scene::new(&[]).unwrap();
    let (crowd, _) = scene.clients_during_the_start(1000, || scene.holds(1000)).unwrap();
    expect(&scene, crowd.right == 1000, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
    let peak = scene.peak().unwrap();
    // Two sockets and the state of a session need far less than 16 KiB each, in addition to the program itself.
    expect(&scene, peak < 8 * 1024 + 16 * 1000, &format!("{peak} KiB"));
}

#[test]
fn clients_beyond_the_hold_limit_are_refused_and_reported() {
    let scene = Scene::new(&["--overflow=refuse", &format!("--hold-max={HELD}")]).unwrap();
    let refused = || scene.dormouse.stderr().text().contains(messages::TOO_MANY_HELD);
    let (crowd, ()) = scene.clients_during_the_start(CROWD, || Ok(refused().then_some(()))).unwrap();
    // A client that connects when the server already listens is served, too.
    expect(&scene, crowd.right >= HELD && crowd.refused > 0 && crowd.lost == 0, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
}

#[test]
fn clients_beyond_the_hold_limit_wait_in_the_backlog_if_configured() {
    let scene = Scene::new(&["--overflow=queue", &format!("--hold-max={HELD}")]).unwrap();
    // During the start only held clients have a descriptor.
    let (crowd, most) = scene.clients_during_the_start(CROWD, || scene.holds(HELD)).unwrap();
    expect(&scene, most <= HELD + 100, &format!("{most} descriptors during the start"));
    expect(&scene, crowd.right == CROWD, &format!("{crowd:?}"));
    assert_eq!(scene.starts().unwrap(), 1);
}
