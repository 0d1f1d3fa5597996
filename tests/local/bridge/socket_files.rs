//! Removes and recreates the UNIX sockets of servers while clients connect.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_tests::Result;
use dormouse_tests::failure::Doing;
use dormouse_tests::wait::{Deadline, SOON};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::load::{Load, Request, percentile};

const TIMES: u32 = 50;

/// Removes and recreates the sockets under these loads.
pub(crate) async fn recreate_sockets(
    paths: &[PathBuf],
    servers: &mut [Server],
    loads: &[Load],
) -> Result<()> {
    for time in 0..TIMES {
        for (path, server) in paths.iter().zip(servers.iter_mut()) {
            remove_socket(path, time % 10 == 9)?;
            server.finish().await?;
        }
        // Clients connect while no server listens.
        sleep(Duration::from_millis(u64::from(time % 5) * 10)).await;
        for (path, server) in paths.iter().zip(servers.iter_mut()) {
            *server = start_server(path).await?;
        }
        more(loads, 10).await?;
    }
    Ok(())
}

pub(crate) fn report(program: &str, requests: &[Request]) {
    println!(
        "{program}: {} requests, {} failed; p50 {:?}, p99 {:?}, longest {:?}",
        requests.len(),
        requests.iter().filter(|request| request.answer.is_err()).count(),
        percentile(requests, 50),
        percentile(requests, 99),
        percentile(requests, 100),
    );
}

/// Waits until this many more requests of each load have finished.
pub(crate) async fn more(loads: &[Load], count: usize) -> Result<()> {
    let wanted: Vec<_> = loads.iter().map(|load| load.count() + count).collect();
    let deadline = Deadline::after(SOON * 3);
    while loads.iter().zip(&wanted).any(|(load, wanted)| load.count() < *wanted) {
        deadline.left(|| "the end of requests".to_owned())?;
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Stops the loads in a blocking thread, because the servers must run meanwhile.
pub(crate) async fn stop<const N: usize>(loads: [Load; N]) -> Result<[Vec<Request>; N]> {
    let stopped = tokio::task::spawn_blocking(|| loads.map(Load::stop)).await;
    stopped.doing(|| "stop the load".to_owned())
}

/// A server that answers each client with a line.
pub(crate) struct Server {
    task: tokio::task::JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    /// Serves the clients that connected before the socket file was removed, and ends.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        let (stop, _) = tokio::sync::oneshot::channel();
        // The task may have failed; then requests fail.
        let _ = std::mem::replace(&mut self.stop, stop).send(());
        (&mut self.task).await.doing(|| "serve".to_owned())
    }
}

/// Binds a socket to this path and listens on it 2 ms later.
pub(crate) async fn start_server(path: &Path) -> Result<Server> {
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
        // A client that opened the socket file just before its removal enters the queue a moment later, and the
        // runtime may not have registered it yet.
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

/// Removes the socket file, and its directory if `with_directory`.
pub(crate) fn remove_socket(path: &Path, with_directory: bool) -> Result<()> {
    fs::remove_file(path).doing(|| format!("remove {}", path.display()))?;
    match path.parent() {
        Some(directory) if with_directory => {
            fs::remove_dir(directory).doing(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

async fn answer(mut client: UnixStream) {
    let mut request = [0; 256];
    // A check connection sends no data.
    if matches!(client.read(&mut request).await, Ok(1..)) {
        let _ = client.write_all(b"served\n").await;
    }
}
