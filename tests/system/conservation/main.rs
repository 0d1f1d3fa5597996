//! Runs the sessions of the conservation suite through the installed systemd-socket-proxyd.

#[path = "../../local/conservation/content.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod content;
#[path = "../../local/conservation/judge.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod judge;
#[path = "../../local/conservation/link.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod link;
#[path = "../../local/conservation/plan.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod plan;
#[path = "../../local/conservation/registry.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod registry;
#[path = "../../local/conservation/run.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod run;
#[path = "../../local/conservation/side.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod side;
#[path = "../../local/conservation/under_test.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod under_test;

use std::time::Duration;

use dormouse_tests::{Subject, rng::seed};

use self::run::{Run, Sessions, run};
use self::under_test::{Through, Way};

/// The sessions detect the known faults: up to release 260 systemd-socket-proxyd loses bytes after a half-close,
/// and every release turns a reset into an orderly end.
#[test]
fn sessions_detect_the_known_faults_of_socket_proxyd() {
    let patience = Duration::from_secs(5);
    let sessions = Sessions::Random { seed: seed().unwrap(), count: 300 };
    let through = Through::Program(Subject::SocketProxyd);
    let report = run(&Run { through, ways: vec![Way::TCP_TO_TCP], sessions, patience }).unwrap();
    assert!(report.failures.iter().any(|failure| failure.contains("instead of a reset")), "{report}");
    if Subject::systemd_release().unwrap() < 261 {
        assert!(report.failures.iter().any(|failure| failure.contains("bytes are missing")), "{report}");
    }
}
