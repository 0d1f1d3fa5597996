//! Services that come to the workload of another one, and go.

use std::fs;

use dormouse_tests::rig::write;
use dormouse_tests::{Result, messages};

use super::scene::{Place, Scene};

/// A program with two servers, which echo. It records for whom it is started.
const SERVER: &str = r#"
import asyncio, os, sys
place = sys.argv[1]
open(place + "/names", "a").write(os.environ["DORMOUSE_SERVICE"] + "\n")
async def serve(reader, writer):
    while words := await reader.read(100):
        writer.write(words)
        await writer.drain()
    writer.close()
async def main():
    for name in "game", "console":
        await asyncio.start_unix_server(serve, place + "/" + name)
    await asyncio.Event().wait()
asyncio.run(main())
"#;

fn service(place: &Place, name: &str) -> String {
    let dir = place.dir().path().display();
    format!(
        "[services.{name}]\nlisten = '127.0.0.1:0'\nto = '{dir}/{name}'\nwake.exec = 'python3 {dir}/twin.py {dir}'\n\
         idle = {{ stop = '100ms', minimum_uptime = 0 }}\n"
    )
}

/// A service that comes uses the running workload, and a service that goes leaves it running. The next start is for those
/// that share it then.
#[test]
fn services_come_to_a_running_workload_and_go() -> Result<()> {
    let place = Place::new(0)?;
    write(&place.path("twin.py"), SERVER)?;
    let (game, console) = (service(&place, "game"), service(&place, "console"));
    let both = format!("{game}{console}");
    let names = |scene: &Scene| fs::read_to_string(scene.place.path("names")).unwrap_or_default();
    let scene = Scene::new(place, &game)?;
    let player = scene.client_of("game")?;
    scene.echo(&player, "hello")?;
    scene.reload(&both)?;
    let admin = scene.client_of("console")?;
    scene.echo(&admin, "list")?;
    scene.echo(&player, "still here")?;
    // The session of the service that goes is drained, and the other one keeps the workload.
    scene.reload(&console)?;
    scene.echo(&admin, "again")?;
    drop(player);
    scene.echo(&admin, "still here")?;
    assert_eq!(names(&scene), "game\n");
    scene.reload(&both)?;
    drop(admin);
    scene.wait_for_log(messages::STOPPED)?;
    scene.echo(&scene.client_of("game")?, "hello")?;
    assert_eq!(names(&scene), "game\nconsole+game\n");
    Ok(())
}
