//! Programs with `sandbox = "strict"`, started by any user. Root's are tested in the system suite.

use std::fs;
use std::path::Path;

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use rustix::process::geteuid;

use super::scene::Scene;

/// A program that was taken over: it does what its client says, in Python, and answers with the result or the error.
const PUPPET: &str = r#"
import os, socket, sys
where = sys.argv[1]
if os.path.exists(where): os.unlink(where)
listener = socket.socket(socket.AF_UNIX)
listener.bind(where)
listener.listen(100)
while True:
    client, _ = listener.accept()
    words = client.recv(4096).decode()
    try:
        answer = eval(words)
    except Exception as error:
        answer = "refused: %r" % error
    client.sendall(str(answer).encode())
    client.close()
"#;

/// Starts a puppet in the directory of the scene, which it sees in its own /tmp.
fn puppet(launch: Launch, flags: &[&str]) -> Scene {
    let dir = TempDir::new().unwrap();
    let (script, socket) = (dir.join("puppet.py"), dir.join("socket"));
    fs::write(&script, PUPPET).unwrap();
    let exec = format!("--exec=python3 -S -E {} {}", script.display(), socket.display());
    let flags: Vec<&str> = flags.iter().copied().chain([exec.as_str()]).collect();
    Scene::with(launch, dir, &flags).unwrap()
}

/// An ordinary user, who may or may not have user namespaces.
fn user() -> Launch {
    // The directory of the tests may be closed to this user.
    let launch = Launch::dormouse().directory("/");
    if geteuid().is_root() { launch.uid(61_000) } else { launch }
}

#[test]
fn a_program_of_an_ordinary_user_cannot_reach_dormouse_or_the_files_of_others() {
    let others = TempDir::new().unwrap();
    fs::write(others.join("secret"), "what others have").unwrap();
    let read = format!("open({:?}).read()", others.join("secret"));
    let loose = puppet(user(), &[]);
    let strict = puppet(user(), &["--sandbox=strict", "--log-level=debug"]);
    let privileges =
        "[line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')]";
    assert_eq!(strict.ask(privileges).unwrap(), "['1']");
    assert_eq!(strict.ask("__import__('resource').getrlimit(4)").unwrap(), "(0, 0)");
    // What is missing is logged before. A machine may lack a part.
    strict.wait_for_log(messages::READY).unwrap();
    let lacks = |part: &str| strict.log().contains(part);
    let whole = !lacks(messages::NO_LANDLOCK) && !lacks(messages::OLD_LANDLOCK);

    let refused = |scene: &Scene, attack: &str| scene.ask(attack).unwrap().starts_with("refused: ");
    for (scene, stopped) in [(&loose, false), (&strict, whole)] {
        let dormouse = scene.dormouse.pid();
        for attack in
            [format!("os.kill({dormouse}, 0)"), format!("len(open('/proc/{dormouse}/environ').read())")]
        {
            assert_eq!(refused(scene, &attack), stopped, "{attack}\n{}", scene.log());
        }
    }
    // Limits and priorities of dormouse, whose user they have. They are set to what they are.
    for (scene, stopped) in [(&loose, false), (&strict, !lacks(messages::NO_FILTER))] {
        let changes = |pid: u32| {
            [
                format!("__import__('resource').prlimit({pid}, 4, (0, 0))"),
                format!("os.sched_setaffinity({pid}, os.sched_getaffinity({pid}))"),
                format!("os.sched_setscheduler({pid}, os.SCHED_OTHER, os.sched_param(0))"),
                format!("os.setpriority(os.PRIO_PROCESS, {pid}, os.getpriority(os.PRIO_PROCESS, {pid}))"),
            ]
        };
        for attack in changes(scene.dormouse.pid()) {
            assert_eq!(refused(scene, &attack), stopped, "{attack}\n{}", scene.log());
        }
        for own in changes(0) {
            assert!(!refused(scene, &own), "{own}\n{}", scene.log());
        }
    }
    assert_eq!(loose.ask(&read).unwrap(), "what others have");
    let own = strict.dir.path();
    let file = own.join("own");
    assert_eq!(strict.ask(&format!("open({file:?}, 'w').write('well')")).unwrap(), "4");
    assert_eq!(fs::read_to_string(file).unwrap(), "well");
    if lacks(messages::NO_PRIVATE_TMP) || own.parent() != Some(Path::new("/tmp")) {
        return;
    }
    // Its own directory is all that it sees in /tmp.
    assert!(refused(&strict, &read));
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    assert_eq!(strict.ask("os.listdir('/tmp')").unwrap(), format!("['{name}']"));
}

#[test]
fn what_a_program_cannot_have_is_reported_once() {
    let scene = puppet(user(), &["--sandbox=strict", "--idle=50ms", "--log-level=debug"]);
    for round in 1..=3 {
        assert_eq!(scene.ask("1 + 1").unwrap(), "2");
        scene.wait_for_log_times(messages::STOPPING, round).unwrap();
    }
    scene.expect_in_log_times(messages::KEEPS_USER, 1).unwrap();
}
