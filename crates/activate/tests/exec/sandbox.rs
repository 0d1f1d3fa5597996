//! Confined programs: what they need works, and what cannot be had is refused.

use std::fs;

use dormouse_activate::exec::{Account, Exec, Sandbox, Strict};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::rig::{Rig, check_notification, python, shell};

fn confined(program: Exec) -> Exec {
    let own_user = Some(Account::own("test").unwrap());
    Exec { sandbox: Sandbox::Strict(Strict { own_user, socket_directory: None }), ..program }
}

#[tokio::test]
async fn a_confined_program_can_report_that_it_is_ready() {
    assert!(geteuid().is_root(), "root is needed for a user of its own");
    let script = "\
import os, socket, time
address = os.environ['NOTIFY_SOCKET']
print('socket', address, flush=True)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.sendto(b'READY=1\\nSTATUS=all well', address)
time.sleep(1000)
";
    check_notification(confined(python(script))).await;
}

#[tokio::test]
async fn a_confined_program_has_nothing_of_root_and_can_be_stopped() {
    let marker = std::env::temp_dir().join(format!("dormouse-marker-{}", std::process::id()));
    fs::write(&marker, "").unwrap();
    let script = "echo ids $(id -u) $(id -g) $(id -G); echo new $(grep NoNewPrivs: /proc/self/status);
        echo caps $(grep -h Cap /proc/self/status | tr -d '0\\t\\n'); echo core $(ulimit -c) $(ulimit -Hc);
        echo tmp $(ls -A /tmp /var/tmp | tr -d '\\n'); echo well > /tmp/own && echo own $(cat /tmp/own);
        setsid sh -c 'trap \"\" TERM; echo pid $$; while :; do sleep 1; done' & echo pid $$; exec sleep 1000";
    let mut rig = Rig::new(confined(shell(script)));
    rig.start().await;
    let uid = Account::own("test").unwrap().identity.uid;
    assert_eq!(rig.line("ids ").await, format!("{uid} {uid} {uid}"));
    assert_eq!(rig.line("new ").await, "NoNewPrivs: 1");
    assert_eq!(rig.line("caps ").await, "CapInh: CapPrm: CapEff: CapBnd: CapAmb:".replace(' ', ""));
    assert_eq!(rig.line("core ").await, "0 0");
    assert_eq!(rig.line("tmp ").await, "/tmp:/var/tmp:");
    assert_eq!(rig.line("own ").await, "well");
    let all = rig.watched(2).await;
    rig.stop().await;
    assert!(all.iter().all(crate::rig::Watched::has_ended));
    rig.close().await;
    fs::remove_file(marker).unwrap();
}

/// The guard has the rights of the thread that starts it.
#[tokio::test]
async fn a_program_that_cannot_have_its_own_user_is_not_started() {
    // The bounding set of this thread ends with the test.
    remove_capability_from_bounding_set(CapabilitySet::SETUID).unwrap();
    let error = Rig::new(confined(shell("exec sleep 1000"))).start_fails().await;
    assert!(error.reason.contains("may not start a program as user"), "{error}");
}

#[tokio::test]
async fn root_that_keeps_capabilities_is_not_started() {
    remove_capability_from_bounding_set(CapabilitySet::SETPCAP).unwrap();
    let mut program = confined(shell("exec sleep 1000"));
    program.user = Some(Account::find("root", None).unwrap());
    let error = Rig::new(program).start_fails().await;
    assert!(
        error.reason.contains("it cannot be confined (wake.sandbox): root keeps capabilities"),
        "{error}"
    );
}
