//! A small bridge of `HAProxy`'s from TCP to a UNIX socket, as its users write it, and what `dormouse convert` makes of
//! it: both at once in front of one server that comes and goes.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::slice;
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{Deadline, SOON};
use dormouse_tests::{Failure, Result};
use tokio::time::sleep;

use super::load::{Load, Request};
use super::vanishing::{appear, come_and_go, more, stop, tell, vanish};
use dormouse_tests::network::inside;

const LIMIT: Duration = Duration::from_secs(180);
const RATE: u32 = 100;
const THEIRS: u16 = 12345;
const OURS: u16 = 12346;
/// `HAProxy`'s check may happen to come in the very moment in which the server dies.
const CHANCE: Duration = Duration::from_millis(200);

/// `HAProxy`'s failures and all times are told, to be compared. Dormouse has no failure, and leaves a dead server alone no
/// later.
#[test]
fn a_bridge_of_haproxys_converted_beside_it() {
    let path = concat!(module_path!(), "::a_bridge_of_haproxys_converted_beside_it");
    inside(path, LIMIT, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.doing(|| "make a runtime".to_owned())?.block_on(beside())
    });
}

async fn beside() -> Result<()> {
    let dir = TempDir::new()?;
    let path = dir.join("run/program.cmd");
    let mut servers = [appear(&path).await?];
    let theirs = HaProxy::start(&dir, &path).await?;
    let ours = converted(&dir, &path)?;
    let loads = [THEIRS, OURS].map(|port| Load::start(SocketAddr::from(([127, 0, 0, 1], port)), RATE));
    more(&loads, 400).await?;
    let stormy = Instant::now();
    come_and_go(slice::from_ref(&path), &mut servers, &loads).await?;
    let calm_again = Instant::now();
    // A check that met a moment without a server would count for one when it dies: so a few go by.
    more(&loads, 500).await?;
    // It dies, after it has served those in its queue, and a name stays.
    let [server] = &mut servers;
    vanish(&path, false)?;
    server.finish().await?;
    drop(UnixListener::bind(&path).doing(|| "leave a name".to_owned())?);
    let left_alone = both_notice(&theirs, &control(&dir, "ours")).await?;
    vanish(&path, false)?;
    *server = appear(&path).await?;
    more(&loads, 50).await?;
    let requests = stop(loads).await?;
    server.finish().await?;
    for (who, requests, left_alone) in
        [("HAProxy", &requests[0], left_alone[0]), ("dormouse", &requests[1], left_alone[1])]
    {
        let of = |phase: &dyn Fn(Instant) -> bool| {
            let within = requests.iter().filter(|request| phase(request.began));
            within.cloned().collect::<Vec<Request>>()
        };
        tell(&format!("{who}, calm"), &of(&|began| began < stormy));
        let storm = of(&|began| (stormy..calm_again).contains(&began));
        tell(&format!("{who}, in the storm"), &storm);
        let answered = storm.into_iter().filter(|request| request.answer.is_ok());
        tell(&format!("{who}, those served in it"), &answered.collect::<Vec<_>>());
        tell(&format!("{who}, with a dead server"), &of(&|began| began >= calm_again));
        println!("{who}: a dead server gets no more clients after {left_alone:?}");
    }
    let failed: Vec<_> = requests[1].iter().filter(|request| request.answer.is_err()).collect();
    if let Some(first) = failed.first() {
        let text = format!("{} of {} failed, as {first:?}", failed.len(), requests[1].len());
        return Err(ours.with_log(&Failure::Unexpected(text)));
    }
    let [theirs, ours] = left_alone;
    assert!(
        ours <= theirs + CHANCE,
        "HAProxy leaves a dead server alone after {theirs:?}, ours after {ours:?}"
    );
    Ok(())
}

fn control(dir: &TempDir, whose: &str) -> PathBuf {
    dir.join(&format!("{whose}.control"))
}

/// The configuration as its users have it, but for places and names of files.
fn write(dir: &TempDir, whose: &str, port: u16, server: &Path) -> Result<PathBuf> {
    let text = format!(
        "global\n    maxconn 4096\n    stats socket {} mode 600 level admin\n\ndefaults\n    mode tcp\n    \
         timeout connect 5000ms\n    timeout client 50000ms\n    timeout server 50000ms\n\n\
         listen tcp_bridge\n    bind 127.0.0.1:{port}\n    server unix_socket {} check inter 2000 rise 2 fall 3\n",
        control(dir, whose).display(),
        server.display()
    );
    let file = dir.join(&format!("{whose}.cfg"));
    fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
    Ok(file)
}

/// What comes out of the conversion, checked and served.
fn converted(dir: &TempDir, server: &Path) -> Result<Running> {
    let (from, to) = (write(dir, "ours", OURS, server)?, dir.join("dormouse.toml"));
    let succeeds = |launch: Launch| {
        let mut running = launch.start()?;
        if running.wait(SOON)?.success() {
            return Ok(());
        }
        Err(running.with_log(&Failure::Unexpected("it was not accepted".to_owned())))
    };
    succeeds(Launch::dormouse().arg("convert").arg(&from).arg("-o").arg(&to))?;
    succeeds(Launch::dormouse().arg("check").arg(&to))?;
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", to.display())).start()?;
    dormouse.stderr().wait_for(messages::LISTENING, SOON)?;
    Ok(dormouse)
}

/// How long it takes both from now to leave the server alone.
async fn both_notice(theirs: &HaProxy, ours: &Path) -> Result<[Duration; 2]> {
    let (died, deadline) = (Instant::now(), Deadline::after(SOON * 2));
    let mut left_alone = [None, None];
    while let [None, _] | [_, None] = left_alone {
        for (control, left_alone) in [theirs.control.as_path(), ours].into_iter().zip(&mut left_alone) {
            if left_alone.is_none() && is_down(control)? {
                *left_alone = Some(died.elapsed());
            }
        }
        deadline.left(|| "both to notice that the server is dead".to_owned())?;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(left_alone.map(Option::unwrap_or_default))
}

/// Both speak the same language here.
fn is_down(control: &Path) -> Result<bool> {
    let mut stream = UnixStream::connect(control).doing(|| format!("connect to {}", control.display()))?;
    stream.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
    stream.write_all(b"show stat\n").doing(|| "ask".to_owned())?;
    let mut csv = String::new();
    stream.read_to_string(&mut csv).doing(|| "read the answer".to_owned())?;
    let server = csv.lines().find(|line| line.starts_with("tcp_bridge,unix_socket,"));
    let status = server.and_then(|line| line.split(',').nth(17));
    status.map(|status| status == "DOWN").ok_or_else(|| Failure::Unexpected(format!("no server in {csv}")))
}

struct HaProxy {
    child: Child,
    control: PathBuf,
}

impl HaProxy {
    async fn start(dir: &TempDir, server: &Path) -> Result<Self> {
        let file = write(dir, "theirs", THEIRS, server)?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-q", "-db", "-f"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().map_err(|_| Failure::missing("haproxy", "scripts/test-deps.sh installs it"))?;
        let haproxy = Self { child, control: control(dir, "theirs") };
        let deadline = Deadline::after(SOON);
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, THEIRS)).await.is_err() {
            deadline.left(|| "HAProxy".to_owned())?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(haproxy)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // It may have ended on its own; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
