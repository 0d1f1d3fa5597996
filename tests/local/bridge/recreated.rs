//! A server whose UNIX socket is removed and made again, over and over, under load.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Failure, Result};

use super::load::Load;
use super::vanishing::{appear, come_and_go, more, stop, tell};

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

fn front(dormouse: &Running) -> Result<SocketAddr> {
    dormouse.stderr().wait_for("Listening on", SOON)?;
    let text = dormouse.stderr().text();
    let address = text.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| Failure::Unexpected(format!("no address in {text:?}")))
}
