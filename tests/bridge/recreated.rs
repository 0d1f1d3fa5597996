//! A server whose UNIX socket is removed and made again, over and over, under load.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{Deadline, SOON};
use dormouse_tests::{Failure, Result};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::load::{Load, Request, percentile};

const TIMES: u32 = 50;
const RATE: u32 = 200;

#[tokio::test]
async fn nobody_fails_while_the_socket_of_the_only_server_comes_and_goes() {
    let dir = TempDir::new().unwrap();
    let path = dir.join("run/socket");
    let servers = format!("to = \"unix:{}\"\n", path.display());
    storm(&dir, &[path], &servers).await.unwrap();
}

#[tokio::test]
async fn nobody_fails_while_the_sockets_of_two_servers_come_and_go() {
    let dir = TempDir::new().unwrap();
    let paths = ["one/socket", "two/socket"].map(|name| dir.join(name));
    let to = paths.each_ref().map(|path| format!("\"unix:{}\"", path.display()));
    storm(&dir, &paths, &format!("to = [{}]\n", to.join(", "))).await.unwrap();
}

#[tokio::test]
async fn nobody_fails_without_checks_either() {
    let dir = TempDir::new().unwrap();
    let paths = ["one/socket", "two/socket"].map(|name| dir.join(name));
    let to = paths.each_ref().map(|path| format!("\"unix:{}\"", path.display()));
    let servers = format!("balance = \"leastconn\"\ncheck = false\nto = [{}]\n", to.join(", "));
    storm(&dir, &paths, &servers).await.unwrap();
}

async fn storm(dir: &TempDir, paths: &[PathBuf], to: &str) -> Result<()> {
    let mut servers = Vec::new();
    for path in paths {
        servers.push(appear(path).await?);
    }
    let file = dir.join("dormouse.toml");
    let check = if to.contains("check") {
        ""
    } else {
        "check = { inter = \"200ms\", on_marked_down = \"shutdown-sessions\" }\n"
    };
    let text = format!("[services.main]\nlisten = \"127.0.0.1:0\"\n{check}{to}");
    fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", file.display())).start()?;
    let front = front(&dormouse)?;
    let loads = [Load::start(front, RATE)];
    more(&loads, 50).await?;
    come_and_go(paths, &mut servers, &loads).await?;
    let requests = stop(loads).await?.into_iter().flatten().collect::<Vec<_>>();
    for server in &mut servers {
        server.finish().await?;
    }
    tell("dormouse", &requests);
    let failed: Vec<_> = requests.iter().filter(|request| request.answer.is_err()).collect();
    if let Some(first) = failed.first() {
        let text = format!("{} of {} failed, as {first:?}", failed.len(), requests.len());
        return Err(dormouse.with_log(&Failure::Unexpected(text)));
    }
    Ok(())
}

/// Removes and makes the sockets again while these clients come.
pub(super) async fn come_and_go(paths: &[PathBuf], servers: &mut [Server], loads: &[Load]) -> Result<()> {
    for time in 0..TIMES {
        for (path, server) in paths.iter().zip(servers.iter_mut()) {
            vanish(path, time % 10 == 9)?;
            server.finish().await?;
        }
        // Clients come while nobody is there.
        sleep(Duration::from_millis(u64::from(time % 5) * 10)).await;
        for (path, server) in paths.iter().zip(servers.iter_mut()) {
            *server = appear(path).await?;
        }
        more(loads, 10).await?;
    }
    Ok(())
}

pub(super) fn tell(who: &str, requests: &[Request]) {
    println!(
        "{who}: {} requests, {} failed; p50 {:?}, p99 {:?}, longest {:?}",
        requests.len(),
        requests.iter().filter(|request| request.answer.is_err()).count(),
        percentile(requests, 50),
        percentile(requests, 99),
        percentile(requests, 100),
    );
}

/// Waits until so many more requests of each have come to their end.
pub(super) async fn more(loads: &[Load], count: usize) -> Result<()> {
    let wanted: Vec<_> = loads.iter().map(|load| load.count() + count).collect();
    let deadline = Deadline::after(SOON * 3);
    while loads.iter().zip(&wanted).any(|(load, wanted)| load.count() < *wanted) {
        deadline.left(|| "the end of requests".to_owned())?;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// The servers have to live on meanwhile.
pub(super) async fn stop<const N: usize>(loads: [Load; N]) -> Result<[Vec<Request>; N]> {
    let stopped = tokio::task::spawn_blocking(|| loads.map(Load::stop)).await;
    stopped.doing(|| "stop the load".to_owned())
}

fn front(dormouse: &Running) -> Result<SocketAddr> {
    dormouse.stderr().wait_for("Listening on", SOON)?;
    let text = dormouse.stderr().text();
    let address = text.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| Failure::Unexpected(format!("no address in {text:?}")))
}

/// A server that answers each client by a line.
pub(super) struct Server {
    task: tokio::task::JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    /// Serves whom the socket took before its name was removed, and ends.
    pub(super) async fn finish(&mut self) -> Result<()> {
        let (stop, _) = tokio::sync::oneshot::channel();
        // Its task may have failed, which the requests tell.
        let _ = std::mem::replace(&mut self.stop, stop).send(());
        (&mut self.task).await.doing(|| "serve".to_owned())
    }
}

/// A socket appears under this name, and somebody listens on it a moment later.
pub(super) async fn appear(path: &Path) -> Result<Server> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).doing(|| "make the directory".to_owned())?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).doing(|| "make a socket".to_owned())?;
    let address = SockAddr::unix(path).doing(|| "make an address".to_owned())?;
    socket.bind(&address).doing(|| format!("bind {}", path.display()))?;
    sleep(Duration::from_millis(2)).await;
    socket.listen(128).and_then(|()| socket.set_nonblocking(true)).doing(|| "listen".to_owned())?;
    let listener =
        UnixListener::from_std(std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket)));
    let listener = listener.doing(|| "watch the listener".to_owned())?;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                biased;
                client = listener.accept() => {
                    let Ok((client, _)) = client else { return };
                    open.spawn(answer(client));
                }
                _ = &mut stopped => break,
            }
        }
        // Who found the name just before it went is in the queue a moment later; and the runtime may not know yet of
        // who is in it.
        sleep(Duration::from_millis(5)).await;
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((client, _)) = listener.accept() {
            let client = client.set_nonblocking(true).and_then(|()| UnixStream::from_std(client));
            let Ok(client) = client else { return };
            open.spawn(answer(client));
        }
        while open.join_next().await.is_some() {}
    });
    Ok(Server { task, stop })
}

/// Its name goes, and sometimes the directory with it.
pub(super) fn vanish(path: &Path, with_directory: bool) -> Result<()> {
    fs::remove_file(path).doing(|| format!("remove {}", path.display()))?;
    match path.parent() {
        Some(directory) if with_directory => {
            fs::remove_dir(directory).doing(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

async fn answer(mut client: UnixStream) {
    let mut said = [0; 256];
    // Whoever only looks says nothing.
    if matches!(client.read(&mut said).await, Ok(1..)) {
        let _ = client.write_all(b"served\n").await;
    }
}
