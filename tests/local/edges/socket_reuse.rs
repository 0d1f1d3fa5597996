//! Reuse of a server connection by consecutive sessions.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Ending, Result};

use super::scene::{Scene, expect_received};

fn sockets(scene: &Scene) -> Result<BTreeSet<PathBuf>> {
    let all = scene.dormouse.descriptors()?.into_iter();
    Ok(all.filter(|what| what.to_string_lossy().starts_with("socket:")).collect())
}

#[test]
fn one_server_connection_serves_consecutive_sessions_and_is_closed_when_idle() {
    let scene = Scene::new("").unwrap();
    let own = sockets(&scene).unwrap();
    let others = |count| {
        wait::until(&format!("{count} sockets of sessions"), SOON, || {
            let others: BTreeSet<_> = sockets(&scene)?.difference(&own).cloned().collect();
            Ok((others.len() == count).then_some(others))
        })
    };
    let mut kept = BTreeSet::new();
    for round in 0..20_u8 {
        let (client, server) = scene.session().unwrap();
        client.send(&[round], SOON).unwrap();
        expect_received(&server, &[round]);
        server.send(&[!round], SOON).unwrap();
        expect_received(&client, &[!round]);
        let end = if round % 2 == 0 {
            client.finish().unwrap();
            Ending::Fin
        } else {
            client.reset().unwrap();
            Ending::Reset
        };
        assert_eq!(server.receive_to_end(SOON).unwrap().ending, end);
        drop(server);
        kept.extend(others(1).unwrap());
    }
    assert_eq!(kept.len(), 1, "{kept:?}");
    others(0).unwrap();
}
