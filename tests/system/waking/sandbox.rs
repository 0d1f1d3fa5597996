//! Programs with `sandbox = "strict"`: each attack beside the same program without it, for which it succeeds.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, Place, configured};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{LIMIT, until};
use dormouse_tests::{Result, messages};

use rustix::process::Signal;

use super::scene::{Process, Scene};

/// The numbers of users that belong to one service.
const OWN_USERS: std::ops::RangeInclusive<u32> = 61_184..=65_519;
/// A secret that only root may read.
const SECRET: &str = "only root reads this";

/// A program that was taken over: it does what its client says, in Python, and answers with the result or the error.
const PUPPET: &str = r#"
import os, signal, socket, subprocess, sys
address = sys.argv[1]
if address.startswith("/"):
    if os.path.exists(address): os.unlink(address)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    os.chmod(address, 0o666)
    listener.listen()
else:
    listener = socket.create_server(("127.0.0.1", int(address)))
def write(path): open(path, "w").write("taken over")
def status(name): return [line.split()[1:] for line in open("/proc/self/status") if line.startswith(name + ":")][0]
def run(*words): return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
while True:
    client, _ = listener.accept()
    words = client.makefile().read()
    try:
        answer = eval(words)
    except Exception as error:
        answer = "refused: %r" % error
    client.sendall(str(answer).encode())
    client.close()
"#;

/// A dormouse with puppets as services.
struct Theatre {
    dormouse: Dormouse,
    /// Outside /tmp, so that what a confined program does not see there is not only out of sight.
    dir: TempDir,
}

impl Theatre {
    /// Starts services of these names, each with a TCP address, a directory and these keys of `wake`.
    fn new(services: &[(&str, &str)]) -> Result<Self> {
        Self::with("", services)
    }

    /// Like [`new`](Self::new), with these lines at the top of the configuration.
    fn with(before: &str, services: &[(&str, &str)]) -> Result<Self> {
        let dir = TempDir::below(Path::new("/var/lib"))?;
        fs::write(dir.join("puppet.py"), PUPPET).doing(|| "write the puppet".to_owned())?;
        let ports = Place::new(services.len())?;
        let mut text = format!("log_level = \"debug\"\n{before}");
        for (index, (name, keys)) in services.iter().enumerate() {
            let directory = dir.join(name);
            fs::create_dir(&directory).doing(|| "create a directory".to_owned())?;
            let (directory, to) = (directory.display(), ports.port(index));
            let port = to.rsplit(':').next().unwrap_or_default();
            let service = format!(
                "[services.{name}]\nlisten = LISTEN\nto = \"{to}\"\nidle.minimum_uptime = 0\n\
                 wake = {{ exec = \"/usr/bin/python3 DIR/puppet.py {port}\", directory = \"{directory}\"{keys} }}\n"
            );
            text.push_str(&service);
        }
        let dormouse = Dormouse::start(configured(&dir, &text, Launch::dormouse())?)?;
        Ok(Self { dormouse, dir })
    }

    /// Lets a service do something, and returns its answer.
    #[track_caller]
    fn order(&self, service: &str, words: &str) -> String {
        let answer = self.dormouse.front(service).and_then(|address| ask(address, words));
        answer.unwrap_or_else(|failure| panic!("{failure}\n{}", self.dormouse.log()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file for root alone.
    fn secret(&self) -> PathBuf {
        let path = self.path("secret");
        fs::write(&path, SECRET).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn ask(address: SocketAddr, words: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).doing(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(LIMIT)).doing(|| "set a timeout".to_owned())?;
    stream.write_all(words.as_bytes()).doing(|| "send".to_owned())?;
    stream.shutdown(Shutdown::Write).doing(|| "end the order".to_owned())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(|| "receive".to_owned())?;
    Ok(answer)
}

#[track_caller]
fn is_refused(answer: &str) {
    assert!(answer.starts_with("refused: "), "{answer}");
}

/// A program that serves its working directory would show that of another one.
#[test]
fn a_program_whose_user_may_not_enter_its_directory_is_not_started() {
    let theatre = Theatre::new(&[("strict", ", sandbox = \"strict\"")]).unwrap();
    let directory = theatre.path("strict");
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let front = theatre.dormouse.front("strict").unwrap();
    assert!(ask(front, "os.getcwd()").is_ok_and(|answer| answer.is_empty()) || ask(front, "1").is_err());
    theatre.dormouse.wait_for_log(&format!("{}{}", messages::MAY_NOT_ENTER, directory.display())).unwrap();
    assert_eq!(theatre.dormouse.count_in_log(messages::READY), 0);
    // Mended, it starts there.
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let answer =
        until("an answer", LIMIT, || Ok(ask(front, "os.getcwd()").ok().filter(|text| !text.is_empty())));
    assert_eq!(answer.unwrap(), directory.display().to_string());
}

/// Without a directory the program runs in that of dormouse. In the place of one that it may not enter it served `/`.
#[test]
fn a_program_that_may_not_enter_the_directory_of_dormouse_is_not_started() {
    let dir = TempDir::below(Path::new("/var/lib")).unwrap();
    fs::write(dir.join("puppet.py"), PUPPET).unwrap();
    let (closed, open) = (dir.join("closed"), dir.join("open"));
    for (directory, mode) in [(&closed, 0o700), (&open, 0o755)] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
    }
    let start = |directory: &Path, flag: &str| {
        let place = Place::new(1).unwrap();
        let to = place.port(0);
        let port = to.rsplit(':').next().unwrap();
        let exec = format!("--exec=/usr/bin/python3 {} {port}", dir.join("puppet.py").display());
        let launch = Launch::dormouse().directory(directory).args(["run", "--listen=127.0.0.1:0"]);
        let launch = launch.args([&format!("--to={to}"), &exec, "--sandbox=strict"]);
        (Dormouse::start(if flag.is_empty() { launch } else { launch.arg(flag) }).unwrap(), place)
    };
    let (dormouse, _place) = start(&closed, "");
    let answer = ask(dormouse.address().unwrap(), "os.getcwd()");
    assert!(answer.as_ref().map_or(true, String::is_empty), "{answer:?}");
    dormouse.wait_for_log(&format!("{}{}", messages::MAY_NOT_ENTER, closed.display())).unwrap();
    for (started_in, flag) in [(&open, String::new()), (&closed, format!("--directory={}", open.display()))] {
        let (dormouse, _place) = start(started_in, &flag);
        let answer = ask(dormouse.address().unwrap(), "os.getcwd()").unwrap();
        assert_eq!(answer, open.display().to_string(), "{}", dormouse.log());
    }
}

/// A directory that is not the program's stays as it is, with everything in it that others may write to.
#[test]
fn a_directory_that_its_user_may_not_write_to_stays_closed_with_all_that_is_in_it() {
    let theatre = Theatre::new(&[("loose", ""), ("strict", ", sandbox = \"strict\"")]).unwrap();
    for name in ["loose", "strict"] {
        let open = theatre.path(name).join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let answer = theatre.order(name, &format!("write({:?})", open.join("file")));
        assert_eq!(answer.starts_with("refused: "), name == "strict", "{answer}");
    }
}

/// A program replaces the directory of another one by a link, so that the next run of that one could write elsewhere.
#[test]
fn a_program_cannot_choose_the_directory_of_a_later_run() {
    let dir = TempDir::below(Path::new("/var/lib")).unwrap();
    fs::write(dir.join("puppet.py"), PUPPET).unwrap();
    let (outer, inner, victim) = (dir.join("outer"), dir.join("outer/inner"), dir.join("victim"));
    for directory in [&outer, &inner, &victim] {
        fs::create_dir(directory).unwrap();
    }
    fs::set_permissions(&victim, Permissions::from_mode(0o777)).unwrap();
    let ports = Place::new(2).unwrap();
    let mut text = String::new();
    for (index, (name, directory)) in [("outer", &outer), ("inner", &inner)].into_iter().enumerate() {
        let port = ports.port(index);
        let _ = write!(
            text,
            "[services.{name}]\nlisten = LISTEN\nto = \"{port}\"\n\
             wake = {{ exec = \"/usr/bin/python3 DIR/puppet.py {}\", directory = {directory:?}, sandbox = \"strict\" }}\n",
            port.rsplit(':').next().unwrap_or_default()
        );
    }
    let start = || Dormouse::start(configured(&dir, &text, Launch::dormouse()).unwrap()).unwrap();
    let order =
        |dormouse: &Dormouse, name: &str, words: &str| ask(dormouse.front(name).unwrap(), words).unwrap();
    let first = start();
    for (name, directory) in [("outer", &outer), ("inner", &inner)] {
        let uid = order(&first, name, "os.getuid()").parse().unwrap();
        chown(directory, Some(uid), Some(uid)).unwrap();
    }
    drop(first);

    let second = start();
    assert_eq!(order(&second, "inner", "write('own')"), "None");
    is_refused(&order(&second, "inner", &format!("write({:?})", victim.join("file"))));
    assert_eq!(
        order(&second, "outer", &format!("os.rename('inner', 'gone') or os.symlink({victim:?}, 'inner')")),
        "None"
    );
    drop(second);

    let third = start();
    // The client is refused, by an end or by a reset.
    let _ = ask(third.front("inner").unwrap(), &format!("write({:?})", victim.join("file")));
    third.wait_for_log(messages::LINK_OF_OTHERS).unwrap();
    assert!(!victim.join("file").exists());
}

/// What root may do, and the same program confined may not.
#[test]
fn a_confined_program_does_nothing_that_root_may_do() {
    let theatre = Theatre::new(&[("loose", ""), ("strict", ", sandbox = \"strict\"")]).unwrap();
    let (loose, strict) =
        (|words: &str| theatre.order("loose", words), |words: &str| theatre.order("strict", words));

    assert_eq!(loose("os.getresuid()"), "(0, 0, 0)");
    let uid: u32 = strict("os.getuid()").parse().unwrap();
    assert!(OWN_USERS.contains(&uid), "{uid}");
    assert_eq!(
        strict("os.getresuid() + os.getresgid()"),
        format!("{:?}", [uid; 6]).replace(['[', '{'], "(").replace(']', ")")
    );
    assert_eq!(strict("os.getgroups()"), format!("[{uid}]"));
    assert_eq!(
        strict("status('CapBnd') + status('CapPrm') + status('NoNewPrivs')"),
        "['0000000000000000', '0000000000000000', '1']"
    );
    assert_eq!(strict("__import__('resource').getrlimit(4)"), "(0, 0)");

    // A file of root.
    let secret = theatre.secret();
    let read = format!("open({secret:?}).read()");
    assert_eq!(loose(&read), SECRET);
    is_refused(&strict(&read));

    // /etc, and a directory that every user may write to.
    let etc = format!("/etc/dormouse-test-{}", std::process::id());
    let write = format!("write({etc:?})");
    is_refused(&strict(&write));
    assert!(!Path::new(&etc).exists());
    assert_eq!(loose(&write), "None");
    fs::remove_file(&etc).unwrap();
    let open = theatre.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    for (service, stopped) in [("loose", false), ("strict", true)] {
        let file = open.join(service);
        let answer = theatre.order(service, &format!("write({file:?})"));
        assert_eq!((answer.starts_with("refused: "), file.exists()), (stopped, !stopped), "{answer}");
    }

    // Signals to dormouse, and its files by /proc.
    let dormouse = theatre.dormouse.pid();
    for attack in [format!("os.kill({dormouse}, 0)"), format!("os.listdir('/proc/{dormouse}/fd') and None")] {
        assert_eq!(loose(&attack), "None");
        is_refused(&strict(&attack));
    }
    // Mounts, and devices.
    is_refused(&strict("run('mount', '-t', 'tmpfs', 'none', '/mnt')"));
    is_refused(&strict("os.mknod('node', 0o600 | 0o20000, os.makedev(1, 1))"));
    assert_eq!(strict("write('/dev/null')"), "None");
    assert_eq!(strict("len(open('/dev/urandom', 'rb').read(8))"), "8");
}

#[test]
fn a_confined_program_has_a_tmp_of_its_own() {
    let theatre = Theatre::new(&[("loose", ""), ("strict", ", sandbox = \"strict\"")]).unwrap();
    let marker = TempDir::new().unwrap();
    let marker = marker.path();
    let list = format!("{:?} in os.listdir({:?})", marker.file_name().unwrap(), marker.parent().unwrap());
    assert_eq!(theatre.order("loose", &list), "True");
    for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
        assert_eq!(theatre.order("strict", &format!("os.listdir({directory:?})")), "[]");
        let file = format!("{directory}/dormouse-test-{}", std::process::id());
        assert_eq!(theatre.order("strict", &format!("write({file:?})")), "None");
        assert_eq!(theatre.order("strict", &format!("open({file:?}).read()")), "taken over");
        assert!(!Path::new(&file).exists(), "{file} is not private");
    }
    // Also not by the files of another process.
    let dormouse = theatre.dormouse.pid();
    let around =
        format!("os.listdir('/proc/{dormouse}/root{}') and None", marker.parent().unwrap().display());
    assert_eq!(theatre.order("loose", &around), "None");
    is_refused(&theatre.order("strict", &around));
}

/// Beside a program of an ordinary user that is not confined.
#[test]
fn a_confined_program_gains_nothing_by_a_set_user_id_program() {
    let theatre = Theatre::new(&[
        ("loose", ", user = \"nobody\""),
        ("strict", ", sandbox = \"strict\""),
        ("named", ", sandbox = \"strict\", user = \"nobody\""),
    ])
    .unwrap();
    let (secret, helper) = (theatre.secret(), theatre.path("helper"));
    fs::copy("/usr/bin/cat", &helper).unwrap();
    fs::set_permissions(&helper, Permissions::from_mode(0o4755)).unwrap();
    let read = format!("run({helper:?}, {secret:?})");
    assert_eq!(theatre.order("loose", &read), SECRET);
    is_refused(&theatre.order("strict", &read));
    is_refused(&theatre.order("named", &read));
    assert_eq!(theatre.order("named", "os.getuid()"), theatre.order("loose", "os.getuid()"));
    // su and sudo are such programs.
    is_refused(&theatre.order("strict", "run('su', '-c', 'id')"));
}

#[test]
fn two_confined_services_have_different_users_and_files() {
    let keys = ", sandbox = \"strict\"";
    let theatre = Theatre::new(&[("one", keys), ("two", keys)]).unwrap();
    let uids = ["one", "two"].map(|name| theatre.order(name, "os.getuid()").parse::<u32>().unwrap());
    assert_ne!(uids[0], uids[1]);
    for (runs, (name, uid)) in ["one", "two"].into_iter().zip(uids).enumerate() {
        chown(theatre.path(name), Some(uid), Some(uid)).unwrap();
        // The next run has it. The end of this one ends the session, in either way.
        let _ = ask(theatre.dormouse.front(name).unwrap(), "os._exit(0)");
        theatre.dormouse.wait_for_log_times(messages::STOPPED, runs + 1).unwrap();
        assert_eq!(theatre.order(name, "write('own')"), "None");
        assert_eq!(fs::metadata(theatre.path(name).join("own")).unwrap().uid(), uid);
        assert_eq!(theatre.order(name, "os.getcwd() == os.environ['HOME']"), "True");
    }
    // Also where the modes would allow it.
    let (of_two, own) = (theatre.path("two"), theatre.path("two").join("own"));
    fs::set_permissions(&of_two, Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o666)).unwrap();
    let mut attacks = vec![format!("write({own:?})"), format!("os.unlink({own:?})")];
    // Linux 6.2 and later.
    if theatre.dormouse.count_in_log(messages::OLD_LANDLOCK) == 0 {
        attacks.push(format!("os.truncate({own:?}, 0)"));
    }
    for attack in attacks {
        is_refused(&theatre.order("one", &attack));
    }
    assert_eq!(fs::read_to_string(own).unwrap(), "taken over");
    let two: i32 = theatre.order("two", "os.getpid()").parse().unwrap();
    is_refused(&theatre.order("one", &format!("os.kill({two}, 0)")));
}

#[test]
fn a_confined_program_wakes_serves_freezes_and_stops() {
    let dir = TempDir::below(Path::new("/run")).unwrap();
    let (script, socket) = (dir.join("puppet.py"), dir.join("own/socket"));
    fs::write(&script, PUPPET).unwrap();
    fs::create_dir(dir.join("own")).unwrap();
    let start = |idle: &str| {
        let text = format!(
            "log_level = \"debug\"\n[services.web]\nlisten = LISTEN\nto = {socket:?}\npeer_credentials = \"own\"\n\
             idle = {{ {idle}, minimum_uptime = 0 }}\n\
             wake = {{ exec = \"/usr/bin/python3 {} {}\", sandbox = \"strict\" }}\n",
            script.display(),
            socket.display()
        );
        let launch = Launch::dormouse().directory("/");
        Dormouse::start(configured(&dir, &text, launch).unwrap()).unwrap()
    };
    // The directory of the socket is not the program's yet, which the log says. The client is not served.
    let dormouse = start("stop = \"infinity\"");
    let _ = ask(dormouse.front("web").unwrap(), "1");
    dormouse.wait_for_log(messages::NO_SOCKET_FOR_USER).unwrap();
    let log = dormouse.log();
    let before = log.split(messages::NO_SOCKET_FOR_USER).next().unwrap_or_default();
    let uid = before.rsplit(' ').next().and_then(|uid| uid.parse().ok());
    assert!(uid.is_some(), "{log}");
    chown(dir.join("own"), uid, uid).unwrap();
    drop(dormouse);

    let mut dormouse = start("freeze = \"50ms\", stop = \"infinity\"");
    let address = dormouse.front("web").unwrap();
    let pid = ask(address, "os.getpid()").unwrap();
    let process = Process::new(pid.parse().unwrap());
    for times in 1..=2 {
        dormouse.wait_for_log_times(messages::FROZEN, times).unwrap();
        assert_eq!(ask(address, "os.getpid()").unwrap(), pid, "{}", dormouse.log());
    }
    dormouse.signal(Signal::TERM).unwrap();
    assert!(dormouse.wait(LIMIT).unwrap().success(), "{}", dormouse.log());
    process.ended();
    assert_eq!(dormouse.count_in_log(messages::UNCONFINED), 0, "{}", dormouse.log());

    let dormouse = start("stop = \"50ms\"");
    for times in 1..=2 {
        assert_eq!(ask(dormouse.front("web").unwrap(), "1 + 1").unwrap(), "2", "{}", dormouse.log());
        dormouse.wait_for_log_times(messages::STOPPED, times).unwrap();
    }
}

#[test]
fn a_killed_guard_or_dormouse_leaves_no_confined_program() {
    let theatre = Theatre::new(&[("web", ", sandbox = \"strict\"")]).unwrap();
    let process = |words: &str| Process::new(theatre.order("web", words).parse().unwrap());
    let (program, guard) = (process("os.getpid()"), process("os.getppid()"));
    // A descendant in a session of its own, which ignores SIGTERM.
    let child = process(
        "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; while :; do sleep 1; done'], start_new_session=True, close_fds=True).pid",
    );
    guard.kill();
    program.ended();
    child.ended();
    theatre.dormouse.wait_for_log(messages::GUARD_KILLED).unwrap();
    let woken = until("another start", LIMIT, || {
        let answer = ask(theatre.dormouse.front("web")?, "os.getpid()");
        Ok(answer.ok().and_then(|pid| pid.parse().ok()))
    });
    let program = Process::new(woken.unwrap());
    theatre.dormouse.signal(Signal::KILL).unwrap();
    program.ended();
}

/// System V shared memory by its key: a call of the C library in the program.
fn shared_memory(key: u32, flags: &str) -> String {
    format!("__import__('ctypes').CDLL(None).shmget({key}, 4096, {flags})")
}

/// Returns whether the machine has shared memory of this key.
fn has_shared_memory(key: u32) -> bool {
    let all = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    all.lines().any(|line| line.split_whitespace().next() == Some(&key.to_string()))
}

/// Objects that everybody may use are not those of a confined program, and its own go with it.
#[test]
fn a_confined_program_has_ipc_of_its_own() {
    let theatre = Theatre::new(&[("loose", ""), ("strict", ", sandbox = \"strict\"")]).unwrap();
    let (shared, left) = (0x6000_0000 + std::process::id(), 0x6800_0000 + std::process::id());
    assert_ne!(theatre.order("loose", &shared_memory(shared, "0o1666")), "-1");
    assert!(has_shared_memory(shared));
    assert_eq!(theatre.order("strict", &shared_memory(shared, "0")), "-1");
    assert_ne!(theatre.order("strict", &shared_memory(left, "0o1666")), "-1");
    assert!(!has_shared_memory(left));
    drop(theatre);
    assert!(!has_shared_memory(left));
    let removed = Command::new("ipcrm").args(["-M", &shared.to_string()]).status();
    assert!(removed.is_ok_and(|status| status.success()), "ipcrm (package util-linux)");
}

#[test]
fn a_confined_program_uses_the_control_socket_only_by_its_permissions() {
    let control = TempDir::below(Path::new("/run")).unwrap();
    fs::set_permissions(control.path(), Permissions::from_mode(0o755)).unwrap();
    for (mode, is_let_in) in [("0600", false), ("0666", true)] {
        let socket = control.join(mode);
        let before = format!("control = \"unix:{}?mode={mode}\"\n", socket.display());
        let theatre = Theatre::with(&before, &[("strict", ", sandbox = \"strict\"")]).unwrap();
        let connect = format!("socket.socket(socket.AF_UNIX).connect({socket:?})");
        assert_eq!(theatre.order("strict", &connect) == "None", is_let_in, "{mode}");
    }
}

/// A container may withhold them from root.
#[test]
fn root_without_a_capability_for_other_users_is_refused_at_the_start() {
    for (dropped, name) in [("-kill", "CAP_KILL"), ("-setuid", "CAP_SETUID"), ("-setgid", "CAP_SETGID")] {
        for (flag, setting) in [("--uid=nobody", "--uid=nobody"), ("--sandbox=strict", "--sandbox=strict")] {
            let launch = Launch::dormouse().root_without(dropped);
            let args = ["run", "--listen=@a", "--to=@b", "--exec=true", flag];
            let mut dormouse = launch.args(args).start().unwrap();
            let code = dormouse.wait(LIMIT).unwrap().code();
            let err = dormouse.stderr().text();
            assert_eq!(code, Some(77), "{err}");
            assert!(err.contains(&messages::user_needs(setting, name)), "{err}");
        }
        // A program of root needs none of them to be ended.
        let launch = Launch::dormouse().root_without("-kill");
        let scene = Scene::launch(launch, "well", &[]).unwrap();
        scene.served("hello\n");
    }
}

/// The program finds its directory by the configured path, too.
#[test]
fn a_link_in_the_shared_tmp_leads_a_confined_program_to_its_directory() {
    let (dir, tmp) = (TempDir::below(Path::new("/var/lib")).unwrap(), TempDir::new().unwrap());
    fs::set_permissions(tmp.path(), Permissions::from_mode(0o755)).unwrap();
    let (real, link) = (dir.join("real"), tmp.join("link"));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("file"), "found").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    fs::write(dir.join("puppet.py"), PUPPET).unwrap();
    let port = Place::new(1).unwrap();
    let text = format!(
        "[services.web]\nlisten = LISTEN\nto = \"{0}\"\n\
         wake = {{ exec = \"/usr/bin/python3 DIR/puppet.py {1}\", directory = {link:?}, sandbox = \"strict\" }}\n",
        port.port(0),
        port.port(0).rsplit(':').next().unwrap_or_default()
    );
    let dormouse = Dormouse::start(configured(&dir, &text, Launch::dormouse()).unwrap()).unwrap();
    let order = |words: &str| ask(dormouse.front("web").unwrap(), words).unwrap();
    assert_eq!(order("os.getcwd()"), real.display().to_string());
    assert_eq!(order(&format!("open({:?}).read()", link.join("file"))), "found", "{}", dormouse.log());
}

/// A dormouse that is not root may not connect to a socket of mode 0755 of another user.
#[test]
fn a_socket_that_does_not_let_dormouse_in_is_the_reason_of_a_failed_start() {
    let dir = TempDir::below(Path::new("/run")).unwrap();
    let socket = dir.join("socket");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let script = "import os,socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); \
                  os.chmod(sys.argv[1], 0o755); os.chown(sys.argv[1], 0, 0); s.listen(); time.sleep(1000)";
    let mut server = Command::new("python3").args(["-c", script]).arg(&socket).spawn().unwrap();
    until("the socket", LIMIT, || {
        Ok(fs::metadata(&socket).ok().filter(|found| found.permissions().mode() & 0o777 == 0o755))
    })
    .unwrap();
    let to = format!("--to={}", socket.display());
    let args = ["run", "--listen=127.0.0.1:0", &to, "--exec=sleep 1000", "--start-timeout=1s", "--hold=20s"];
    let dormouse = Dormouse::start(Launch::dormouse().uid(61_000).args(args)).unwrap();
    let _ = ask(dormouse.address().unwrap(), "1");
    dormouse.wait_for_log(messages::NOT_LET_IN).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
}
