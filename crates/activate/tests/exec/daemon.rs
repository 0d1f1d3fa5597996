//! A program that daemonizes.

use crate::rig::{check_daemon, python};

/// Forks as daemon(3) does, and listens on a socket.
const DAEMON: &str = "\
import os, socket
for left in 'pid', 'socket':
    if os.path.exists(left): os.unlink(left)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
listener = socket.socket(socket.AF_UNIX)
listener.bind('socket')
listener.listen()
with open('new', 'w') as file: file.write(str(os.getpid()))
os.rename('new', 'pid')
while True: listener.accept()
";

#[tokio::test]
async fn a_daemonized_program_keeps_running() {
    check_daemon(|dir| {
        let mut program = python(DAEMON);
        program.directory = Some(dir.to_owned());
        program
    })
    .await;
}
