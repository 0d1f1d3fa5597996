//! Servers whose UNIX sockets are removed and made again repeatedly under load.

use std::path::PathBuf;

use dormouse_tests::process::Launch;
use dormouse_tests::rig::Dormouse;
use dormouse_tests::temp::TempDir;
use dormouse_tests::{Failure, Result};

use super::load::Load;
use super::socket_files::{more, recreate_sockets, report, start_server, stop};

const RATE: u32 = 200;

#[tokio::test]
async fn no_request_fails_while_the_socket_of_the_only_server_is_recreated() {
    let dir = TempDir::new().unwrap();
    let path = dir.join("run/socket");
    let servers = format!("to = \"unix:{}\"\n", path.display());
    recreate_under_load(&dir, &[path], &servers).await.unwrap();
}

#[tokio::test]
async fn no_request_fails_while_the_sockets_of_two_servers_are_recreated() {
    let dir = TempDir::new().unwrap();
    let paths = ["one/socket", "two/socket"].map(|name| dir.join(name));
    let to = paths.each_ref().map(|path| format!("\"unix:{}\"", path.display()));
    recreate_under_load(&dir, &paths, &format!("to = [{}]\n", to.join(", "))).await.unwrap();
}

#[tokio::test]
async fn no_request_fails_without_checks() {
    let dir = TempDir::new().unwrap();
    let paths = ["one/socket", "two/socket"].map(|name| dir.join(name));
    let to = paths.each_ref().map(|path| format!("\"unix:{}\"", path.display()));
    let servers = format!("balance = \"leastconn\"\ncheck = false\nto = [{}]\n", to.join(", "));
    recreate_under_load(&dir, &paths, &servers).await.unwrap();
}

async fn recreate_under_load(dir: &TempDir, paths: &[PathBuf], to: &str) -> Result<()> {
    let mut servers = Vec::new();
    for path in paths {
        servers.push(start_server(path).await?);
    }
    let check = if to.contains("check") {
        ""
    } else {
        "check = { inter = \"200ms\", on_marked_down = \"shutdown-sessions\" }\n"
    };
    let text = format!("[services.main]\nlisten = \"127.0.0.1:0\"\n{check}{to}");
    let dormouse = Dormouse::with_config(dir, &text, Launch::dormouse())?;
    let front = dormouse.address()?;
    let loads = [Load::start(front, RATE)];
    more(&loads, 50).await?;
    recreate_sockets(paths, &mut servers, &loads).await?;
    let requests = stop(loads).await?.into_iter().flatten().collect::<Vec<_>>();
    for server in &mut servers {
        server.finish().await?;
    }
    report("dormouse", &requests);
    let failed: Vec<_> = requests.iter().filter(|request| request.answer.is_err()).collect();
    if let Some(first) = failed.first() {
        let text = format!("{} of {} failed, as {first:?}", failed.len(), requests.len());
        return Err(dormouse.with_log(&Failure::Unexpected(text)));
    }
    Ok(())
}
