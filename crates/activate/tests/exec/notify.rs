//! A program that reports when it is ready.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use dormouse_activate::Event;

use crate::rig::{Rig, check_notification, python, shell};

const READY: &str = "\
import os, socket, time
address = os.environ['NOTIFY_SOCKET']
print('socket', address, flush=True)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.sendto(b'READY=1\\nSTATUS=all well', address)
time.sleep(1000)
";

/// Notifies in a process of its own, which ends at once.
const LATE: &str = "\
import os, socket, sys
print('socket', os.environ['NOTIFY_SOCKET'], flush=True)
sys.stdin = open('go')
sys.stdin.readline()
if os.fork() == 0:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])
    os._exit(0)
os.wait()
sys.stdin.readline()
";

#[tokio::test]
async fn only_the_program_can_report_that_it_is_ready() {
    let dir = dormouse_tests::temp::TempDir::new().unwrap();
    let go = dir.join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &go,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let mut program = python(LATE);
    program.notify = true;
    program.directory = Some(dir.path().to_owned());
    let mut rig = Rig::new(program);
    rig.start().await;
    let socket = rig.line("socket ").await;
    let sender = UnixDatagram::unbound().unwrap();
    for _ in 0..3 {
        sender.send_to(b"READY=1\nSTATUS=a forgery", &socket).unwrap();
    }
    let ignored = rig.line("warning: python3: ignored 1 notification, the last from process ").await;
    let pid = std::process::id().to_string();
    assert_eq!(ignored.split(' ').next(), Some(pid.as_str()));
    rig.quiet(Duration::from_millis(50)).await;
    // A message of the program is believed, even of a process of it that has ended since.
    let mut go = std::fs::OpenOptions::new().write(true).open(go).unwrap();
    std::io::Write::write_all(&mut go, b"go\n").unwrap();
    let event = rig.event().await;
    assert!(matches!(event, Event::Ready), "{event:?}");
    assert!(!rig.lines().iter().any(|line| line.contains("forgery")), "{:?}", rig.lines());
    rig.stop().await;
    rig.close().await;
}

#[tokio::test]
async fn a_program_that_notifies_without_end_is_limited() {
    let mut program = python(
        "import os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ['NOTIFY_SOCKET'])
manager.send(b'STATUS=' + b'x' * 4000)
for number in range(200): manager.send(b'STATUS=well')
manager.send(b'READY=1')
time.sleep(1000)",
    );
    program.notify = true;
    let mut rig = Rig::new(program);
    rig.start().await;
    assert!(matches!(rig.event().await, Event::Ready));
    let lines = rig.lines();
    let status: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("STATUS=")).collect();
    assert_eq!(status, [&*format!("{}…", "x".repeat(512)), "well"]);
    rig.stop().await;
    rig.close().await;
}

#[tokio::test]
async fn a_program_without_notifications_gets_no_socket() {
    let mut rig = Rig::new(shell("echo \"socket $NOTIFY_SOCKET\"; exec sleep 1000"));
    rig.start().await;
    assert_eq!(rig.line("socket ").await, "");
    rig.stop().await;
    rig.close().await;
}

#[tokio::test]
async fn a_program_can_report_that_it_is_ready() {
    check_notification(python(READY)).await;
}
