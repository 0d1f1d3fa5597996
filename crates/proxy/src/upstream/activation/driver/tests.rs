//! A driver with shell commands, and a server that always runs.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;

use dormouse_activate::command::Commands;
use dormouse_activate::{ActivatorConfig, ListenerRule};
use dormouse_config::model::Ready;
use dormouse_core::activation::{Policy, State};
use dormouse_core::address::Target;

use super::*;
use crate::upstream::activation::Readiness;
use crate::upstream::activation::group::{Group, Groups};
use crate::upstream::activation::registry::{Registry, ServerId};
use crate::upstream::activation::settings::{ActivationSettings, MemberSettings, PortSettings};
use crate::upstream::wakeable::{Lease, LeaseReply, WakeableServer};
use crate::upstream::workload::HoldLimits;
use dormouse_connect::Route;

/// Far longer than any step here takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("the step takes too long")
}

async fn lease(server: &Arc<WakeableServer>) -> Lease {
    match server.request_lease(true) {
        LeaseReply::Granted(lease) => lease,
        LeaseReply::Held(mut waiter) => soon(waiter.granted()).await.expect("the client is refused").0,
        LeaseReply::Refused(refusal) => panic!("{refusal}"),
    }
}

fn settings(
    server: &Arc<WakeableServer>,
    directory: &Path,
    stop: &str,
    group: &Arc<Group>,
) -> WorkloadSettings {
    let (activation, port) = one_port(directory, stop, group);
    WorkloadSettings { activation, ports: vec![(Arc::clone(server), port)] }
}

fn one_port(directory: &Path, stop: &str, group: &Arc<Group>) -> (ActivationSettings, PortSettings) {
    let shell = |script: &str| {
        let script = format!("cd {} && {script}", directory.display());
        vec!["/bin/sh".into(), "-c".into(), script.into()]
    };
    let (start, stop) = (shell("true"), Some(shell(stop)));
    let to = Target::parse(directory.join("socket").as_os_str()).unwrap();
    let activation = ActivationSettings {
        activator: ActivatorConfig::Command(Commands { start, stop, freeze: None, thaw: None, status: None }),
        stop_timeout: SOON,
        keep_warm: Vec::new(),
        group: Some(Arc::clone(group)),
    };
    let port = PortSettings {
        route: Arc::new(Route::new(&to, None).unwrap()),
        listener: ListenerRule::Any,
        spelling: dormouse_config::spelling::Spelling::Keys,
        readiness: Readiness { ready: Ready::Connect, settle: Duration::ZERO },
    };
    (activation, port)
}

#[tokio::test]
async fn a_start_after_a_stop_that_was_given_up_keeps_the_slot_of_its_group() {
    let directory = std::env::temp_dir().join(format!("dormouse-driver-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let _server = UnixListener::bind(directory.join("socket")).unwrap();
    let gate = directory.join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let mut gate = fs::File::options().read(true).write(true).open(gate).unwrap();
    let policy = Policy {
        stop_after: Some(Duration::ZERO),
        minimum_uptime: Duration::ZERO,
        // The stop itself may take longer.
        stop_timeout: Duration::from_millis(10),
        ..Policy::default()
    };
    let log = Log::new(Some(Level::Err));
    let workload = Workload::new(policy, Arc::default(), log.clone());
    let hold = HoldLimits { timeout: SOON, max: 8 };
    let server = WakeableServer::new("web".to_owned(), &workload, Arc::default(), hold);
    let group = Groups::default().get("gpu");
    let (_settings, received) =
        watch::channel(Arc::new(settings(&server, &directory, "read go <gate", &group)));
    let (ended, _ended) = oneshot::channel();
    let driver = Driver {
        workload,
        settings: received,
        log,
        predecessors: Vec::new(),
        started_by_dormouse: false,
        ended,
    };
    let end = Arc::new(Notify::new());
    let task = tokio::spawn(driver.run(Arc::clone(&end)));

    drop(lease(&server).await);
    let given_up = async {
        while server.state().0 != State::Stopped {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon(given_up).await;
    // Its processes exist still.
    assert!(server.workload().is_owned());
    // The next client waits while the stop goes on.
    let LeaseReply::Held(mut waiter) = server.request_lease(true) else { panic!("not held") };
    gate.write_all(b"go\n").unwrap();
    let (_lease, _) = soon(waiter.granted()).await.expect("the client is refused");
    let another = timeout(Duration::ZERO, Arc::clone(&group).enter()).await;
    assert!(another.is_err(), "another server has the slot, too");

    gate.write_all(b"go\n").unwrap();
    end.notify_one();
    soon(task).await.unwrap();
    assert!(!server.workload().is_owned());
    fs::remove_dir_all(directory).unwrap();
}

/// After a crash the next process must recognise what is still being stopped.
#[tokio::test]
async fn a_removed_server_is_saved_until_its_stop_has_ended() {
    let directory = std::env::temp_dir().join(format!("dormouse-removed-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let _server = UnixListener::bind(directory.join("socket")).unwrap();
    let gate = directory.join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let mut gate = fs::File::options().read(true).write(true).open(gate).unwrap();
    let (mut registry, log) = (Registry::default(), Log::new(Some(Level::Err)));
    let id = ServerId::new("web", "/a", 0);
    let group = registry.group("gpu");
    let (activation, port) = one_port(&directory, "read go <gate", &group);
    let hold = HoldLimits { timeout: SOON, max: 8 };
    let policy = Policy::default();
    let settings = MemberSettings { name: "web".to_owned(), policy, hold, activation, port };
    let (server, keep_alive) = registry.get_or_start(&id, settings, &log);
    drop(lease(&server).await);
    let woken = registry.woken();
    assert_eq!(woken.len(), 1);
    drop(keep_alive);
    registry.remove_unused();
    assert_eq!(registry.woken(), woken);
    gate.write_all(b"go\n").unwrap();
    let saved = async {
        while !registry.woken().is_empty() {
            registry.changed().await;
        }
    };
    soon(saved).await;
    registry.remove_unused();
    assert_eq!(soon(registry.shut_down()).await, []);
    fs::remove_dir_all(directory).unwrap();
}
