//! A program that reports with `systemd-notify` when it is ready.

use crate::rig::{check_notification, needs, shell};

#[tokio::test]
async fn systemd_notify_reports_that_a_program_is_ready() {
    needs("systemd-notify", "systemd");
    let script = "echo socket $NOTIFY_SOCKET; systemd-notify --ready --status='all well'; exec sleep 1000";
    check_notification(shell(script)).await;
}
