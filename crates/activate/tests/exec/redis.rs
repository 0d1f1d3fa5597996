//! An installed program that daemonizes.

use crate::rig::{check_daemon, exec, needs};

#[tokio::test]
async fn a_daemonized_server_keeps_running() {
    needs("redis-server", "redis-server");
    check_daemon(|dir| {
        let mut program =
            exec(&["redis-server", "--daemonize", "yes", "--port", "0", "--save", "", "--unixsocket"]);
        program.argv.extend([
            dir.join("socket").into(),
            "--pidfile".into(),
            dir.join("pid").into(),
            "--dir".into(),
            dir.into(),
        ]);
        program
    })
    .await;
}
