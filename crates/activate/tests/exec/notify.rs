//! A program that reports when it is ready.

use crate::rig::{check_notification, python};

const READY: &str = "\
import os, socket, time
address = os.environ['NOTIFY_SOCKET']
print('socket', address, flush=True)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.sendto(b'READY=1\\nSTATUS=all well', address)
time.sleep(1000)
";

#[tokio::test]
async fn a_program_can_report_that_it_is_ready() {
    check_notification(python(READY)).await;
}
