//! The restrictions of the process: what they refuse, and that they do not reach what dormouse starts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, Place, write};
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Result, Subject, messages};
use rustix::process::{Pid, Signal, kill_process};

/// Starts dormouse with this configuration, and with no directory for files of its own but `tmp`.
pub(super) fn start(place: &Place, text: &str) -> Result<Dormouse> {
    for directory in ["tmp", "config", "sockets"] {
        let path = place.path(directory);
        fs::create_dir(&path).doing(|| format!("make {}", path.display()))?;
    }
    let file = place.path("config/dormouse.toml");
    write(&file, text)?;
    let launch = Launch::dormouse().env("TMPDIR", place.path("tmp"));
    Dormouse::start(launch.arg("run").arg(format!("--config={}", file.display())))
}

/// Reloads this configuration, and waits for `part` of its outcome.
fn reload(scene: &Dormouse, place: &Place, text: &str, part: &str) -> Result<()> {
    write(&place.path("config/dormouse.toml"), text)?;
    scene.signal(Signal::HUP)?;
    scene.wait_for_log(part)
}

pub(super) fn config(place: &Place, listen: &str) -> String {
    format!(
        "[services.web]\nlisten = ['127.0.0.1:0'{listen}]\nto = '{}'\nwake = {{ exec = {} }}\n",
        place.port(0),
        toml(&place.server(0, &[]))
    )
}

/// Writes a text as a string of TOML.
fn toml(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns a field of /proc/PID/status.
fn field(pid: &str, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

/// Returns the number of filters of system calls of a process.
fn filters(pid: &str) -> u32 {
    field(pid, "Seccomp_filters").parse().unwrap()
}

/// Returns the soft limit and the hard limit of core dumps of a process.
fn core_limit(pid: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap().trim().to_owned()
}

/// Returns the numbers of all processes below one.
fn descendants(pid: u32) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child: u32| [vec![child.to_string()], descendants(child)].concat()).collect()
}

/// Returns the sockets of a process.
fn sockets(pid: &str) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets =
        links.filter_map(|link| Some(fs::read_link(link.path()).ok()?.to_string_lossy().into_owned()));
    targets.filter(|target| target.starts_with("socket:")).collect()
}

#[test]
fn what_dormouse_starts_is_not_restricted_and_dormouse_is() {
    let place = Place::new(1).unwrap();
    let scene = start(&place, &config(&place, "")).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "hello").unwrap();
    let pid = scene.pid();
    let status = |name: &str| field(&pid.to_string(), name);
    assert_eq!((status("Seccomp"), status("NoNewPrivs")), ("2".to_owned(), "1".to_owned()));
    // Each kernel that runs the tests has Landlock.
    assert!(!scene.log().contains(messages::FILES_UNRESTRICTED), "{}", scene.log());
    // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE and CAP_SYS_RESOURCE, if it had
    // them.
    let capabilities = |pid: &str| u64::from_str_radix(&field(pid, "CapEff"), 16).unwrap();
    let kept = capabilities("self") & (1 << 1 | 1 << 2 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 24);
    assert_eq!(capabilities(&pid.to_string()), kept);
    for set in ["CapPrm", "CapBnd"] {
        let has = u64::from_str_radix(&status(set), 16).unwrap();
        assert!(has == kept || capabilities("self") == 0, "{set}: {has:x}");
    }
    let (seccomp, privileges) = (field("self", "Seccomp"), field("self", "NoNewPrivs"));
    assert_eq!(filters(&pid.to_string()), filters("self") + 1);
    let started = descendants(pid);
    // The spawner, the guard and the program.
    assert!(started.len() >= 3, "{started:?}");
    for process in &started {
        assert_eq!(field(process, "Seccomp"), seccomp, "{process}");
        assert_eq!(field(process, "NoNewPrivs"), privileges, "{process}");
        assert_eq!(capabilities(process), capabilities("self"), "{process}");
        // Landlock lets a process look into others only if they are restricted as it is.
        assert!(fs::read(format!("/proc/{process}/environ")).is_ok(), "{process}");
        assert_eq!(core_limit(process), core_limit("self"), "{process}");
    }
    assert!(core_limit(&pid.to_string()).starts_with('0'), "dormouse writes core dumps");
    // The spawner has no socket of dormouse: each end of the socket between the two has its own number.
    let spawner = started.first().unwrap();
    let (of_spawner, of_dormouse) = (sockets(spawner), sockets(&pid.to_string()));
    assert!(!of_spawner.is_empty() && of_spawner.is_disjoint(&of_dormouse), "{of_spawner:?} {of_dormouse:?}");
}

/// The directory of the notification sockets exists before dormouse restricts itself. Nothing is left of it.
#[test]
fn a_restricted_dormouse_hears_its_program_and_leaves_no_directory() {
    for signal in [Signal::TERM, Signal::KILL] {
        let place = Place::new(1).unwrap();
        let text = format!("{}ready = 'notify'\n", config(&place, ""));
        let mut scene = start(&place, &text).unwrap();
        scene.echo(&scene.client_of("web").unwrap(), "hello").unwrap();
        let sockets: BTreeSet<_> =
            descendants(scene.pid()).iter().filter_map(|pid| notify_socket(pid)).collect();
        let directory = sockets.first().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let name = directory.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("dormouse-notify-") && sockets.len() == 1, "{sockets:?}");
        scene.signal(signal).unwrap();
        scene.wait(SOON).unwrap();
        wait::until("no directory", SOON, || Ok((!directory.exists()).then_some(()))).unwrap();
    }
}

/// Returns the notification socket of a process.
fn notify_socket(pid: &str) -> Option<PathBuf> {
    let variables = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let path = variables.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"NOTIFY_SOCKET="))?;
    Some(PathBuf::from(std::str::from_utf8(path).ok()?))
}

#[test]
fn without_workloads_there_is_no_spawner() {
    let place = Place::new(1).unwrap();
    let text = format!("[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", place.port(0));
    let scene = start(&place, &text).unwrap();
    assert_eq!(descendants(scene.pid()), Vec::<String>::new());
    assert_ne!(filters(&scene.pid().to_string()), filters("self"));
    // The first workload would need one.
    reload(&scene, &place, &config(&place, ""), messages::NEEDS_RESTART).unwrap();
    scene.wait_for_log(messages::RESTART_TO_APPLY).unwrap();
}

#[test]
fn the_drop_in_has_neither_restrictions_nor_a_spawner() {
    let place = Place::new(1).unwrap();
    let launch = Launch::dormouse().arg("proxy").arg("--listen=127.0.0.1:0").arg(place.port(0));
    let proxy = Dormouse::start(launch).unwrap();
    let pid = proxy.pid().to_string();
    assert_eq!(descendants(proxy.pid()), Vec::<String>::new());
    assert_eq!((filters(&pid), core_limit(&pid)), (filters("self"), core_limit("self")));
}

#[test]
fn the_end_of_the_spawner_is_reported_and_leaves_what_runs() {
    let place = Place::new(2).unwrap();
    let other = format!(
        "[services.other]\nlisten = '127.0.0.1:0'\nto = '{}'\nwake = {{ exec = {} }}\n",
        place.port(1),
        toml(&place.server(1, &[]))
    );
    let scene = start(&place, &format!("{}{other}", config(&place, ""))).unwrap();
    let client = scene.client_of("web").unwrap();
    scene.echo(&client, "before").unwrap();
    let spawner = descendants(scene.pid()).first().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(spawner).unwrap(), Signal::KILL).unwrap();
    scene.wait_for_log(messages::SPAWNER_ENDED).unwrap();
    scene.echo(&client, "after").unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "and new").unwrap();
    let refused = scene.client_of("other").unwrap();
    scene.is_ended(&refused, SOON).unwrap();
    scene.wait_for_log(messages::SPAWNER_GONE).unwrap();
    scene.echo(&client, "still").unwrap();
}

#[test]
fn a_reload_that_needs_another_directory_is_refused_and_changes_nothing() {
    let place = Place::new(1).unwrap();
    let scene = start(&place, &config(&place, "")).unwrap();
    let socket = place.path("sockets/web.sock");
    let wider = config(&place, &format!(", '{}'", socket.display()));
    reload(&scene, &place, &wider, messages::NEEDS_RESTART).unwrap();
    scene.wait_for_log(messages::RESTART_TO_APPLY).unwrap();
    assert!(!socket.exists());
    scene.echo(&scene.client_of("web").unwrap(), "still here").unwrap();
    // Other rules need no more than before.
    reload(
        &scene,
        &place,
        &format!("{}idle = '7min'\n", config(&place, "")),
        &messages::reloaded("0 unchanged, 1 changed (web)"),
    )
    .unwrap();
}

#[test]
fn a_reload_that_brings_another_program_is_refused_and_changes_nothing() {
    let place = Place::new(2).unwrap();
    let scene = start(&place, &config(&place, "")).unwrap();
    let other = format!(
        "[services.other]\nlisten = '127.0.0.1:0'\nto = '{}'\nwake = {{ exec = {} }}\n",
        place.port(1),
        toml(&place.server(1, &[]))
    );
    reload(&scene, &place, &format!("{}{other}", config(&place, "")), messages::NEEDS_RESTART).unwrap();
    scene.wait_for_log(messages::RESTART_TO_APPLY).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "still here").unwrap();
}

#[test]
fn a_service_can_get_another_name_and_the_switch_changes_at_a_restart() {
    let place = Place::new(1).unwrap();
    let scene = start(&place, &config(&place, "")).unwrap();
    let renamed =
        format!("restrict_self = false\n{}", config(&place, "").replace("services.web", "services.shop"));
    reload(&scene, &place, &renamed, messages::RESTRICTIONS_AT_RESTART).unwrap();
    scene.wait_for_log(&messages::reloaded("0 unchanged, 1 new (shop), 1 removed (web)")).unwrap();
    scene.echo(&scene.client_of("shop").unwrap(), "hello").unwrap();
    assert_eq!(filters(&scene.pid().to_string()), filters("self") + 1);
}

#[test]
fn without_restrictions_any_directory_may_be_added() {
    let place = Place::new(1).unwrap();
    let scene = start(&place, &format!("restrict_self = false\n{}", config(&place, ""))).unwrap();
    assert_eq!(field(&scene.pid().to_string(), "Seccomp_filters"), field("self", "Seccomp_filters"));
    let socket = place.path("sockets/web.sock");
    let wider = format!("restrict_self = false\n{}", config(&place, &format!(", '{}'", socket.display())));
    reload(&scene, &place, &wider, &messages::reloaded("0 unchanged, 1 changed (web)")).unwrap();
    assert!(Path::new(&socket).exists());
}

#[test]
fn without_landlock_there_is_a_line_in_the_log_and_no_failure() {
    let place = Place::new(1).unwrap();
    let (file, log) = (place.path("dormouse.toml"), place.path("log"));
    write(&file, &config(&place, "")).unwrap();
    let output = fs::File::create(&log).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", include_str!("without_landlock.py")]).arg(Subject::Dormouse.program().unwrap());
    command.arg("run").arg(format!("--config={}", file.display()));
    let mut dormouse = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let text = || fs::read_to_string(&log).unwrap_or_default();
    let listens = wait::until("a listener", SOON, || Ok(text().contains(messages::LISTENING).then_some(())));
    let restricted = field(&dormouse.id().to_string(), "Seccomp_filters");
    dormouse.kill().unwrap();
    dormouse.wait().unwrap();
    listens.unwrap_or_else(|failure| panic!("{failure}\n{}", text()));
    assert!(text().contains(messages::FILES_UNRESTRICTED), "{}", text());
    // That filter, and the one of dormouse.
    assert_eq!(restricted.parse::<u32>().unwrap(), filters("self") + 2);
}
