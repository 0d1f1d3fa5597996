//! Two services of one workload: what `explain`, `sleep` and `drain` say about it.

use dormouse_tests::Result;
use dormouse_tests::wait::{self, SOON};

use super::rig::Rig;

/// A program that echoes on two UNIX sockets.
const SERVER: &str = r#"
import asyncio, sys
async def serve(reader, writer):
    while words := await reader.read(100):
        writer.write(words)
        await writer.drain()
    writer.close()
async def main():
    for name in "game", "console":
        await asyncio.start_unix_server(serve, sys.argv[1] + "/" + name)
    await asyncio.Event().wait()
asyncio.run(main())
"#;

fn rig() -> Result<Rig> {
    let services: String = ["game", "console"]
        .map(|name| {
            format!(
                "[services.{name}]\nlisten = LISTEN\nto = \"DIR/{name}\"\n\
                 wake.exec = \"python3 DIR/server.py DIR/\"\nidle = {{ stop = \"1h\", minimum_uptime = 0 }}\n"
            )
        })
        .concat();
    Rig::with_files(&[("server.py", SERVER)], &services)
}

#[test]
fn explain_names_the_services_of_a_workload_and_the_one_that_keeps_it_awake() {
    let rig = rig().unwrap();
    let (_, why) = rig.dormouse(&["explain", "game"]).unwrap();
    assert!(
        why.contains("it shares its workload with console, and sleeps when all of them are idle"),
        "{why}"
    );
    let client = rig.client("console").unwrap();
    let (_, why) = rig.dormouse(&["explain", "game"]).unwrap();
    assert!(
        why.contains("it was last woken by the client 127.0.0.1:") && why.contains(" of console, at "),
        "{why}"
    );
    assert!(why.contains("it is kept awake, held by 1 session (1 of console)"), "{why}");
    assert!(why.contains(" of console from 127.0.0.1:") && why.contains("the oldest is 0x"), "{why}");
    let (done, answer) = rig.dormouse(&["sleep", "game"]).unwrap();
    assert!(!done && answer.contains("1 session uses it or waits for it (1 of console)"), "{answer}");
    let status = rig.dormouse(&["status", "--json"]).unwrap().1;
    assert!(status.contains("\"shares_workload_with\""), "{status}");
    drop(client);
    rig.is("game", "idle").unwrap();
}

#[test]
fn a_workload_of_two_services_sleeps_when_both_are_drained() {
    let rig = rig().unwrap();
    let client = rig.client("console").unwrap();
    assert!(rig.dormouse(&["drain", "game"]).unwrap().0);
    drop(client);
    rig.is("console", "idle").unwrap();
    let (_, why) = rig.dormouse(&["explain", "game"]).unwrap();
    assert!(why.contains("next: it stops in "), "{why}");
    assert!(rig.dormouse(&["sleep", "console"]).unwrap().0);
    rig.is("game", "stopped").unwrap();
    let (_, why) = rig.dormouse(&["explain", "game"]).unwrap();
    assert!(why.contains("next: it starts when a client of another service comes."), "{why}");
    drop(rig.client("console").unwrap());
    assert!(rig.dormouse(&["drain", "console"]).unwrap().0);
    rig.is("console", "stopped").unwrap();
    let stays = || {
        let (_, why) = rig.dormouse(&["explain", "game"])?;
        Ok(why.contains("next: it stays as it is until the drain ends.").then_some(()))
    };
    wait::until("the drain of both", SOON, stays).unwrap();
}
