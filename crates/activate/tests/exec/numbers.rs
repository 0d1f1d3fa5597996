//! Processes that get the numbers of ended descendants: the guard and dormouse must not signal them.
//!
//! The test runs in a namespace in which every process can ask for the number of the next one (`ns_last_pid`). The
//! program and unrelated processes beside it create processes with the same few numbers without pause.

use std::fs;
use std::path::Path;

use dormouse_tests::temp::TempDir;
use rustix::process::geteuid;

use crate::rig::{Drive, Watched, is_guard, needs, until};

/// The number after which both sides create their processes.
const BASE: u32 = 5000;

/// Creates processes that end at once, in `workers` workers.
const PROGRAM: &str = "
import os, sys, time
base, workers = sys.argv[1].encode(), int(sys.argv[2])
for worker in range(workers - 1):
    if os.fork() == 0: break
aim = os.open('/proc/sys/kernel/ns_last_pid', os.O_WRONLY)
print('running', flush=True)
while True:
    os.pwrite(aim, base, 0)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.0003)
        os._exit(0)
    os.waitpid(pid, 0)
";

/// Does the same, and counts its processes and those of them that a signal has stopped or killed.
const STRANGERS: &str = "
import os, signal, sys, time
base, report = sys.argv[1].encode(), sys.argv[2]
aim = os.open('/proc/sys/kernel/ns_last_pid', os.O_WRONLY)
count = hits = 0
while True:
    os.pwrite(aim, base, 0)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.0003)
        os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    count += 1
    if not os.WIFEXITED(status):
        hits += 1
        if os.WIFSTOPPED(status):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if count % 50 == 0:
        with open(report + '.new', 'w') as file: file.write('%d %d' % (count, hits))
        os.rename(report + '.new', report)
";

/// A worker of the program runs.
const RUNNING: &str = "Output(\"running\")";

/// A driver in a namespace with two strangers.
struct Scene {
    drive: Drive,
    dir: TempDir,
}

impl Scene {
    fn new(workers: u32) -> Self {
        assert!(geteuid().is_root(), "root is needed to create namespaces");
        needs("unshare", "util-linux");
        let dir = TempDir::new().unwrap();
        fs::write(dir.join("strangers.py"), STRANGERS).unwrap();
        fs::write(dir.join("program.py"), PROGRAM).unwrap();
        let place = dir.path().display();
        // Without control groups only signals freeze the program. The shell is the first process of the namespace, and
        // reaps those that have lost their parents.
        let inside = format!(
            "for mount in $(awk '$3 == \"cgroup2\" {{ print $2 }}' /proc/mounts); do umount -l \"$mount\"; done
            for name in 1 2; do python3 -S -E {place}/strangers.py {BASE} {place}/report$name & done
            exec 3<&0
            \"$@\" <&3 3<&- &
            wait"
        );
        let through =
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &inside, "sh"];
        let drive =
            Drive::start(&through, &format!("exec python3 -S -E {place}/program.py {BASE} {workers}"));
        let scene = Self { drive, dir };
        until("the strangers run", || scene.reports().iter().all(|(count, _)| *count > 0));
        scene
    }

    /// Returns how many processes each stranger has created, and how many of them were hit.
    fn reports(&self) -> [(u64, u64); 2] {
        ["report1", "report2"].map(|name| report(&self.dir.join(name)))
    }

    /// Fails if a process of the strangers was hit.
    fn check(&self, tries: usize) {
        let before = self.reports();
        until("another report", || self.reports().iter().zip(before).all(|(now, before)| now.0 > before.0));
        let [(one, hits_one), (two, hits_two)] = self.reports();
        let (count, hits) = (one + two, hits_one + hits_two);
        println!("{tries} tries, {hits} of {count} unrelated processes were hit");
        assert_eq!(hits, 0, "of {count} unrelated processes, in {tries} tries");
    }
}

fn report(path: &Path) -> (u64, u64) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut numbers = text.split(' ').filter_map(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

#[test]
fn a_freeze_by_signals_stops_no_unrelated_process() {
    const TRIES: usize = 600;
    let scene = Scene::new(4);
    let drive = &scene.drive;
    drive.send("start");
    drive.wait_for("the program runs", |text| text.matches(RUNNING).count() == 4);
    for round in 1..=TRIES {
        drive.send("freeze");
        drive.wait_for("the freeze", |text| text.matches("Frozen").count() == round);
        drive.send("thaw");
        drive.wait_for("the thaw", |text| text.matches("Thawed").count() == round);
    }
    scene.check(TRIES);
}

#[test]
fn the_end_of_a_killed_guards_program_kills_no_unrelated_process() {
    const TRIES: usize = 40;
    let scene = Scene::new(2);
    let drive = &scene.drive;
    for round in 1..=TRIES {
        drive.send("start");
        drive.wait_for("the program runs", |text| text.matches(RUNNING).count() == 2 * round);
        let guard = drive.all().into_iter().find(|pid| is_guard(*pid)).expect("no guard");
        Watched::new(guard).kill();
        drive.wait_for("its end", |text| text.matches("Exited(").count() == round);
    }
    scene.check(TRIES);
}

#[test]
fn a_stop_kills_no_unrelated_process() {
    const TRIES: usize = 40;
    let scene = Scene::new(4);
    let drive = &scene.drive;
    for round in 1..=TRIES {
        drive.send("start");
        drive.wait_for("the program runs", |text| text.matches(RUNNING).count() == 4 * round);
        drive.send("stop");
        drive.wait_for("its end", |text| text.matches("Stopped").count() == round);
    }
    scene.check(TRIES);
}
