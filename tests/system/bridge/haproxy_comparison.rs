//! A typical `HAProxy` bridge from TCP to a UNIX socket and its conversion by `dormouse convert`: both run at the
//! same time in front of one server that disappears and returns.

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
use super::socket_files::{more, recreate_sockets, remove_socket, report, start_server, stop};
use dormouse_tests::network::inside;

const LIMIT: Duration = Duration::from_secs(180);
const RATE: u32 = 100;
const HAPROXY_PORT: u16 = 12345;
const DORMOUSE_PORT: u16 = 12346;
/// The tolerance: `HAProxy`'s check may run at the moment at which the server dies.
const TOLERANCE: Duration = Duration::from_millis(200);

/// Prints `HAProxy`'s failures and all times for comparison. dormouse must have no failure, and must stop using a
/// dead server no later than `HAProxy`.
#[test]
fn converted_bridge_has_no_failures_and_detects_a_dead_server_as_fast_as_haproxy() {
    let path = concat!(
        module_path!(),
        "::converted_bridge_has_no_failures_and_detects_a_dead_server_as_fast_as_haproxy"
    );
    inside(path, LIMIT, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.doing(|| "make a runtime".to_owned())?.block_on(compare())
    });
}

async fn compare() -> Result<()> {
    let dir = TempDir::new()?;
    let path = dir.join("run/program.cmd");
    let mut servers = [start_server(&path).await?];
    let theirs = HaProxy::start(&dir, &path).await?;
    let ours = converted(&dir, &path)?;
    let loads =
        [HAPROXY_PORT, DORMOUSE_PORT].map(|port| Load::start(SocketAddr::from(([127, 0, 0, 1], port)), RATE));
    more(&loads, 400).await?;
    let restarts_begin = Instant::now();
    recreate_sockets(slice::from_ref(&path), &mut servers, &loads).await?;
    let restarts_end = Instant::now();
    // A check that failed while the server was away counts towards `fall`. Wait for a few checks that succeed.
    more(&loads, 500).await?;
    // The server serves its queue and dies; its socket file remains.
    let [server] = &mut servers;
    remove_socket(&path, false)?;
    server.finish().await?;
    drop(UnixListener::bind(&path).doing(|| "leave a socket file".to_owned())?);
    let detected_after = time_until_down(&theirs, &control(&dir, "ours")).await?;
    remove_socket(&path, false)?;
    *server = start_server(&path).await?;
    more(&loads, 50).await?;
    let requests = stop(loads).await?;
    server.finish().await?;
    for (program, requests, detected_after) in
        [("HAProxy", &requests[0], detected_after[0]), ("dormouse", &requests[1], detected_after[1])]
    {
        let of = |phase: &dyn Fn(Instant) -> bool| {
            let within = requests.iter().filter(|request| phase(request.began));
            within.cloned().collect::<Vec<Request>>()
        };
        report(&format!("{program}, before the restarts"), &of(&|began| began < restarts_begin));
        let during = of(&|began| (restarts_begin..restarts_end).contains(&began));
        report(&format!("{program}, during the restarts"), &during);
        let answered = during.into_iter().filter(|request| request.answer.is_ok());
        report(&format!("{program}, served during the restarts"), &answered.collect::<Vec<_>>());
        report(&format!("{program}, after the restarts"), &of(&|began| began >= restarts_end));
        println!("{program}: no more clients on the dead server after {detected_after:?}");
    }
    let failed: Vec<_> = requests[1].iter().filter(|request| request.answer.is_err()).collect();
    if let Some(first) = failed.first() {
        let text = format!("{} of {} failed, as {first:?}", failed.len(), requests[1].len());
        return Err(ours.with_log(&Failure::Unexpected(text)));
    }
    let [theirs, ours] = detected_after;
    assert!(
        ours <= theirs + TOLERANCE,
        "HAProxy detects the dead server after {theirs:?}, dormouse after {ours:?}"
    );
    Ok(())
}

fn control(dir: &TempDir, whose: &str) -> PathBuf {
    dir.join(&format!("{whose}.control"))
}

/// Writes a typical configuration with the paths and the port of the test.
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

/// Converts the configuration, checks the result and starts dormouse on it.
fn converted(dir: &TempDir, server: &Path) -> Result<Running> {
    let (from, to) = (write(dir, "ours", DORMOUSE_PORT, server)?, dir.join("dormouse.toml"));
    let succeeds = |launch: Launch| {
        let mut running = launch.start()?;
        if running.wait(SOON)?.success() {
            return Ok(());
        }
        Err(running.with_log(&Failure::Unexpected("the command failed".to_owned())))
    };
    succeeds(Launch::dormouse().arg("convert").arg(&from).arg("-o").arg(&to))?;
    succeeds(Launch::dormouse().arg("check").arg(&to))?;
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", to.display())).start()?;
    dormouse.stderr().wait_for(messages::LISTENING, SOON)?;
    Ok(dormouse)
}

/// Returns the time from now until each of the two reports the server down.
async fn time_until_down(theirs: &HaProxy, ours: &Path) -> Result<[Duration; 2]> {
    let (died, deadline) = (Instant::now(), Deadline::after(SOON * 2));
    let mut detected_after = [None, None];
    while let [None, _] | [_, None] = detected_after {
        for (control, detected_after) in [theirs.control.as_path(), ours].into_iter().zip(&mut detected_after)
        {
            if detected_after.is_none() && is_down(control)? {
                *detected_after = Some(died.elapsed());
            }
        }
        deadline.left(|| "both to detect that the server is dead".to_owned())?;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(detected_after.map(Option::unwrap_or_default))
}

/// Both accept the same command and answer in the same format.
fn is_down(control: &Path) -> Result<bool> {
    let mut stream = UnixStream::connect(control).doing(|| format!("connect to {}", control.display()))?;
    stream.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
    stream.write_all(b"show stat\n").doing(|| "send the command".to_owned())?;
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
        let file = write(dir, "theirs", HAPROXY_PORT, server)?;
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-q", "-db", "-f"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().map_err(|_| Failure::missing("haproxy", "scripts/test-deps.sh installs it"))?;
        let haproxy = Self { child, control: control(dir, "theirs") };
        let deadline = Deadline::after(SOON);
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, HAPROXY_PORT)).await.is_err() {
            deadline.left(|| "HAProxy".to_owned())?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(haproxy)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
