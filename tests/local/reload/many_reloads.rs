//! Reloads in quick succession while clients connect.

use std::thread;
use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Stream, rounds, scaled};

use super::load::{Echo, Load};
use super::scene::{Place, Scene};

/// The number of reloads if `DORMOUSE_ROUNDS` is not set.
const RELOADS: usize = scaled(30, 200);
/// The least time between two reloads.
const PACE: Duration = Duration::from_millis(100);
/// The clients per second.
const RATE: u32 = 500;

#[test]
fn many_reloads_disturb_no_client_and_no_session() {
    let reloads = rounds(RELOADS).unwrap();
    let (place, echo) = (Place::new(3).unwrap(), Echo::start().unwrap());
    let file = |round: usize| {
        let (to, steady, changing, coming) = (echo.address, place.port(0), place.port(1), place.port(2));
        let mut text = format!(
            "drain_timeout = '10min'\n\
             [services.steady]\nlisten = '{steady}'\nto = '{to}'\n\
             [services.changing]\nlisten = '{changing}'\nto = '{to}'\nmaxconn = {}\n",
            1000 + round
        );
        if round % 2 == 0 {
            text.push_str("[services.coming]\n");
            text.extend([format!("listen = '{coming}'\n"), format!("to = '{to}'\n")]);
        }
        text
    };
    let first = file(0);
    let addresses = [place.port(0), place.port(1)].map(|address| address.parse().unwrap());
    let texts: Vec<_> = (1..=reloads).map(file).collect();
    let scene = Scene::new(place, &first).unwrap();
    let steady: Vec<Stream> =
        (0..20).map(|_| Stream::connect(&Address::Tcp(addresses[0]), SOON).unwrap()).collect();
    let changed = Stream::connect(&Address::Tcp(addresses[1]), SOON).unwrap();

    let load = Load::start(addresses.to_vec(), RATE);
    let began = Instant::now();
    for text in &texts {
        let next = Instant::now() + PACE;
        scene.reload(text).unwrap();
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let took = began.elapsed();
    let tally = load.finish().unwrap();
    for (number, session) in steady.iter().enumerate() {
        scene.echo(session, &format!("session {number}")).unwrap();
    }
    // The session continues under the rules with which it began.
    scene.echo(&changed, "under old rules").unwrap();
    println!(
        "{reloads} reloads in {:.1} s, {} clients served, {} failed, the slowest took {:?}",
        took.as_secs_f64(),
        tally.served,
        tally.failed.len(),
        tally.slowest
    );
    tally.all_served().unwrap_or_else(|failure| panic!("{}", scene.dormouse.with_log(&failure)));
    scene.wait_for_log(&messages::reloaded("1 unchanged, 1 changed (changing)")).unwrap();
    let descriptors = scene.dormouse.descriptors().unwrap().len();
    scene.expect(descriptors < 100, &format!("{descriptors} descriptors are open"));
}
