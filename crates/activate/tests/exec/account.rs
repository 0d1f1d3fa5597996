//! Programs that run as another user.

use dormouse_activate::exec::Account;
use rustix::process::geteuid;

use crate::rig::{Rig, Watched, check_notification, field, python, shell};

/// Gives up root, then reports that it is ready.
const READY: &str = "\
import os, socket, time
address = os.environ['NOTIFY_SOCKET']
print('socket', address, flush=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.sendto(b'READY=1\\nSTATUS=all well', address)
time.sleep(1000)
";

#[tokio::test]
async fn a_program_that_gives_up_root_can_report_that_it_is_ready() {
    assert!(geteuid().is_root(), "root is needed to give up root");
    check_notification(python(READY)).await;
}

#[tokio::test]
async fn a_program_runs_as_its_user() {
    assert!(geteuid().is_root(), "root is needed to become another user");
    let nobody = || Some(Account::find("nobody", None).unwrap());
    let script = "echo ids $(id -u) $(id -g) $(id -G); echo home $HOME; echo user $USER $LOGNAME;
        setsid sh -c 'trap \"\" TERM; echo pid $$; while :; do sleep 1; done' & echo pid $$; exec sleep 1000";
    let mut program = shell(script);
    program.user = nobody();
    let mut rig = Rig::new(program);
    rig.start().await;
    let identity = Account::find("nobody", None).unwrap().identity;
    let groups: Vec<_> = identity.groups.iter().map(u32::to_string).collect();
    assert_eq!(rig.line("ids ").await, format!("{} {} {}", identity.uid, identity.gid, groups.join(" ")));
    assert_eq!(rig.line("home ").await, "/nonexistent");
    assert_eq!(rig.line("user ").await, "nobody nobody");
    let all = rig.watched(2).await;
    assert!(all.iter().all(|one| field(one.pid, 0) != "Z"));
    // The guard keeps its rights, and ends what another user has started.
    rig.stop().await;
    assert!(all.iter().all(Watched::has_ended));
    rig.close().await;
}

#[tokio::test]
async fn a_program_that_its_user_cannot_execute_is_reported() {
    let dir = dormouse_tests::temp::TempDir::new().unwrap();
    let script = dir.join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    let mut program = crate::rig::exec(&[script.to_str().unwrap()]);
    program.user = Some(Account::find("nobody", None).unwrap());
    let error = Rig::new(program).start_fails().await;
    assert!(error.reason.contains("accessible to user nobody"), "{error}");
}
