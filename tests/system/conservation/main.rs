//! Runs the sessions of the conservation suite through the installed systemd-socket-proxyd.

#[path = "../../local/conservation/connection.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod connection;
#[path = "../../local/conservation/content.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod content;
#[path = "../../local/conservation/peer.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod peer;
#[path = "../../local/conservation/plan.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod plan;
#[path = "../../local/conservation/registry.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod registry;
#[path = "../../local/conservation/run.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod run;
#[path = "../../local/conservation/setup.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod setup;
#[path = "../../local/conservation/verdict.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod verdict;

use std::time::Duration;

use dormouse_tests::{Subject, rng::seed};

use self::run::{Run, Sessions, run};
use self::setup::{FamilyPair, Path};

/// The sessions detect the known faults: up to release 260 systemd-socket-proxyd loses bytes after a half-close,
/// and every release turns a reset into an orderly end.
#[test]
fn sessions_detect_the_known_faults_of_socket_proxyd() {
    let stall_limit = Duration::from_secs(5);
    let sessions = Sessions::Random { seed: seed().unwrap(), count: 300 };
    let path = Path::Program(Subject::SocketProxyd);
    let report = run(&Run { path, pairs: vec![FamilyPair::TCP_TO_TCP], sessions, stall_limit }).unwrap();
    assert!(report.failures.iter().any(|failure| failure.contains("instead of a reset")), "{report}");
    if Subject::systemd_release().unwrap() < 261 {
        assert!(report.failures.iter().any(|failure| failure.contains("bytes are missing")), "{report}");
    }
}
