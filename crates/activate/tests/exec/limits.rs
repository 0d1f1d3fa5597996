//! A full process table.

use crate::rig::{Drive, needs};

#[test]
fn a_process_limit_reports_what_to_do() {
    needs("setpriv", "util-linux");
    needs("prlimit", "util-linux");
    assert!(rustix::process::geteuid().is_root(), "root is needed to become a user without processes");
    // The driver has two threads. With the first limit the guard cannot be started, with the second its program.
    for (number, limit) in [(0, "--nproc=2"), (1, "--nproc=3")] {
        let uid = format!("--reuid={}", 61_000 + (std::process::id() % 1000) * 2 + number);
        let through =
            ["setpriv", &uid, "--regid=65534", "--clear-groups", "--bounding-set=-all", "prlimit", limit];
        let drive = Drive::start(&through, "exec sleep 1000");
        drive.send("start");
        drive.wait_for_text("StartFailed");
        let text = drive.text();
        assert!(text.contains("the limit of processes is reached"), "{text}");
        assert_eq!(number == 0, text.contains("its guard"), "{text}");
    }
}
