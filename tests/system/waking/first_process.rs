//! dormouse as the first process of a PID namespace, as in a container. The kernel gives it each process there whose parent
//! has ended.

use std::fs;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::DAEMON;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;

use super::scene::{LIMIT, Scene};

#[test]
fn ended_processes_without_a_parent_are_reaped() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().display().to_string();
    let pid = dir.join("pid");
    fs::write(dir.join("server.py"), DAEMON).unwrap();
    let start = format!(
        "--start=sh -c 'for time in 0 0.01 0.1; do sleep $time & (sleep $time &) done; \
         exec python3 -S -E {path}/server.py {path}/socket {path}/pid'"
    );
    // A process that has ended exists until it is reaped. Without that the stop does not end.
    let stop = format!(
        "--stop=sh -c 'server=$(cat {path}/pid); kill $server; while kill -0 $server 2>&-; do sleep 0.01; done; \
         rm {path}/pid'"
    );
    let flags = ["--idle=200ms", "--stop-timeout=1h", &start, &stop];
    let scene = Scene::with(Launch::dormouse().first_process(), dir, &flags).unwrap();
    for _ in 0..3 {
        scene.served("hello\n");
        until("the end of the stop", LIMIT, || Ok((!pid.exists()).then_some(())))
            .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
    }
    // All others have ended, too, or end soon.
    until("an empty namespace", LIMIT, || {
        let first = children(&scene.pid().to_string())?;
        let [first] = first.as_slice() else { return Ok(None) };
        let left = children(first)?;
        // Dormouse started it, and goes on with it.
        let [spawner] = left.as_slice() else { return Ok(None) };
        let name = fs::read_to_string(format!("/proc/{spawner}/comm")).unwrap_or_default();
        Ok((name.trim() == "spawner" && children(spawner)?.is_empty()).then_some(()))
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
}

/// Returns the numbers of the children of a process, including those that nobody has reaped.
fn children(parent: &str) -> dormouse_tests::Result<Vec<String>> {
    let all = fs::read_dir("/proc").doing(|| "read /proc".to_owned())?;
    let is_child = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1)) == Some(parent)
    };
    Ok(all.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(is_child).collect())
}
