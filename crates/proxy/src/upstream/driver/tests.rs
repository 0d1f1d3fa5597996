//! A driver with commands of the shell, and a server that is always there.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;

use dormouse_activate::command::Commands;
use dormouse_config::model::Ready;
use dormouse_core::activation::{Policy, State};
use dormouse_core::address::Target;
use tokio::time::timeout;

use super::*;
use crate::upstream::group::Groups;
use crate::upstream::sleeper::{Asked, Lease};

/// Far above what anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("it takes too long")
}

async fn lease(sleeper: &Arc<Sleeper>) -> Lease {
    match sleeper.ask(true) {
        Asked::Granted(lease) => lease,
        Asked::Held(mut ticket) => soon(ticket.answer()).await.expect("it is refused").0,
        Asked::Refused(refusal) => panic!("{refusal}"),
    }
}

fn habits(directory: &Path, stop: &str, group: &Arc<Group>) -> Habits {
    let shell = |script: &str| {
        let script = format!("cd {} && {script}", directory.display());
        vec!["/bin/sh".into(), "-c".into(), script.into()]
    };
    let (start, stop) = (shell("true"), Some(shell(stop)));
    let to = Target::parse(directory.join("socket").as_os_str()).unwrap();
    Habits {
        wake: ActivatorConfig::Command(Commands { start, stop, freeze: None, thaw: None, status: None }),
        route: Arc::new(Route::new(&to, None).unwrap()),
        readiness: Readiness { ready: Ready::Connect, settle: Duration::ZERO },
        stop_timeout: SOON,
        keep_warm: Vec::new(),
        group: Some(Arc::clone(group)),
    }
}

#[tokio::test]
async fn what_starts_after_a_stop_that_was_given_up_has_its_place() {
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
    let (changed, log) = (Arc::new(Notify::new()), Log::new(Some(Level::Err)));
    let sleeper = Sleeper::new("web".to_owned(), policy, Arc::default(), Arc::clone(&changed), log.clone());
    let group = Groups::default().get("gpu");
    let (_habits, taken) = watch::channel(Arc::new(habits(&directory, "read go <gate", &group)));
    let (gone, _gone) = oneshot::channel();
    let driver =
        Driver { sleeper: Arc::clone(&sleeper), habits: taken, log, before: None, ours: false, gone };
    let end = Arc::new(Notify::new());
    let task = tokio::spawn(driver.run(Arc::clone(&end)));

    drop(lease(&sleeper).await);
    let given_up = async {
        while sleeper.state().0 != State::Stopped {
            changed.notified().await;
        }
    };
    soon(given_up).await;
    // The next client waits while it still stops.
    let Asked::Held(mut ticket) = sleeper.ask(true) else { panic!("not held") };
    gate.write_all(b"go\n").unwrap();
    let (_lease, _) = soon(ticket.answer()).await.expect("it is refused");
    let another = timeout(Duration::ZERO, Arc::clone(&group).enter()).await;
    assert!(another.is_err(), "another has the place, too");

    gate.write_all(b"go\n").unwrap();
    end.notify_one();
    soon(task).await.unwrap();
    fs::remove_dir_all(directory).unwrap();
}
