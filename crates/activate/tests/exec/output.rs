//! Programs that write more than anybody reads.

use crate::rig::{Rig, shell, until_async};

/// The lines of a workload that are logged in a period.
const LIMIT: usize = 10_000;

#[tokio::test]
async fn a_program_that_writes_without_end_is_limited() {
    // The count shows that the program goes on: more than the log, the pipe and the readers can hold.
    let script = "count=0; text=$(yes | head -n 500)
        while [ $count -lt 400 ]; do echo \"$text\"; count=$((count + 1)); done
        echo done >done; exec yes";
    let dir = dormouse_tests::temp::TempDir::new().unwrap();
    let mut program = shell(script);
    program.directory = Some(dir.path().to_owned());
    let mut rig = Rig::new(program);
    rig.start().await;
    until_async("the program goes on", || dir.join("done").exists()).await;
    rig.stop().await;
    let lines = rig.lines();
    let logged = lines.iter().filter(|line| *line == "y").count();
    assert_eq!(logged, LIMIT, "{:?}", lines.last());
    let report = lines.last().unwrap();
    let suppressed =
        report.strip_prefix("warning: its output exceeds 10000 lines or 4 MiB in 30 s; suppressed ");
    let suppressed: usize = suppressed.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
    assert!(suppressed >= 400 * 500 - LIMIT, "{report}");
    // The limit is that of the workload, not of one run.
    rig.start().await;
    rig.stop().await;
    assert_eq!(rig.lines().iter().filter(|line| *line == "y").count(), LIMIT);
    rig.close().await;
}
