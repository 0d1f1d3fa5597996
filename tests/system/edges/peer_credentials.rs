//! Whose credentials a server on a UNIX socket sees: `peer_credentials`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::{Dormouse, write};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, LIMIT, SOON};
use dormouse_tests::{Address, Result, Stream, Subject, messages};

const SERVER: &str = include_str!("whoami.py");

/// A client that sends bytes, ends its stream and prints the answer.
const CLIENT: &str = "import os, socket, sys\n\
    s = socket.socket(socket.AF_UNIX); s.settimeout(25); s.connect(sys.argv[1])\n\
    s.sendall(b'x' * int(sys.argv[2])); s.shutdown(socket.SHUT_WR)\n\
    answer = b''\n\
    while data := s.recv(4096): answer += data\n\
    print(os.getpid(), answer.decode(), end='')\n";

/// What the server has seen of a client.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    uid: u32,
    gid: u32,
    groups: String,
    pid: u32,
    bytes: usize,
    /// The credentials of the messages: process, user and group each.
    messages: Vec<(u32, u32, u32)>,
}

impl Seen {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
        let [uid, gid, groups, pid, bytes, messages] = words[..] else { panic!("{line:?}") };
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{line:?}"));
        let messages = messages.split(',').filter(|message| !message.is_empty()).map(|message| {
            let numbers: Vec<u32> = message.split(':').map(number).collect();
            (numbers[0], numbers[1], numbers[2])
        });
        Self {
            uid: number(uid),
            gid: number(gid),
            groups: groups.to_owned(),
            pid: number(pid),
            bytes: bytes.parse().unwrap(),
            messages: messages.collect(),
        }
    }
}

/// A process that is killed on drop.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn directory() -> TempDir {
    let dir = TempDir::new().unwrap();
    write(&dir.join("whoami.py"), SERVER).unwrap();
    write(&dir.join("client.py"), CLIENT).unwrap();
    dir
}

/// Starts the server with a socket of this mode, and returns at once.
fn server(dir: &TempDir, mode: &str) -> Killed {
    let mut command = Command::new("python3");
    command.arg(dir.join("whoami.py")).arg(dir.join("server")).arg(mode).stdin(Stdio::null());
    Killed(command.spawn().unwrap())
}

fn await_server(dir: &TempDir) {
    let path = dir.join("server");
    wait::until("the socket of the server", SOON, || {
        Ok(std::os::unix::net::UnixStream::connect(&path).is_ok().then_some(()))
    })
    .unwrap();
}

/// Starts dormouse in front of the server, with these keys.
fn dormouse(dir: &TempDir, keys: &str) -> Dormouse {
    let text = format!(
        "log_level = \"debug\"\n[services.main]\nlisten = \"DIR/front?mode=0666\"\nto = \"DIR/server\"\n{keys}\n"
    );
    Dormouse::with_config(dir, &text, Launch::dormouse()).unwrap()
}

/// A command that runs as this user and group, with these supplementary groups.
fn as_user(uid: u32, gid: u32, groups: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
    if groups.is_empty() {
        command.arg("--clear-groups")
    } else {
        command.arg(format!("--groups={groups}"))
    };
    // Python elsewhere may be of no use to this user.
    command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// Connects a client with these IDs. Returns its process ID and what the server has seen of it; `None` if it was refused.
fn visit(dir: &TempDir, (uid, gid, groups): (u32, u32, &str), bytes: usize) -> Option<(u32, Seen)> {
    let output = as_user(uid, gid, groups)
        .arg("python3")
        .arg(dir.join("client.py"))
        .arg(dir.join("front"))
        .arg(bytes.to_string())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let (pid, line) = answer.split_once(' ')?;
    (!line.is_empty()).then(|| (pid.parse().unwrap(), Seen::parse(line)))
}

const PASS: &str = "peer_credentials = \"pass\"";

#[test]
fn a_client_of_user_1234_is_user_1234_at_the_server() {
    let dir = directory();
    let _server = server(&dir, "0666");
    await_server(&dir);
    let dormouse = dormouse(&dir, PASS);
    for (uid, gid, groups) in [(1234, 2345, "77,88"), (65_534, 65_534, ""), (0, 0, "0,1"), (1234, 0, "")] {
        let (pid, seen) = visit(&dir, (uid, gid, groups), 5).unwrap();
        let expected = Seen {
            uid,
            gid,
            groups: groups.to_owned(),
            pid: dormouse.pid(),
            bytes: 5,
            messages: vec![(pid, uid, gid)],
        };
        assert_eq!(seen, expected);
    }
    // Each thread is what it was.
    for task in fs::read_dir(format!("/proc/{}/task", dormouse.pid())).unwrap() {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        assert!(
            status.contains("\nUid:\t0\t0\t0\t0\n") && status.contains("\nGid:\t0\t0\t0\t0\n"),
            "{status}"
        );
    }
}

/// The server sees dormouse, whose credentials come with the bytes only if that is configured.
#[test]
fn without_pass_the_server_sees_dormouse_but_not_in_messages() {
    let dir = directory();
    let _server = server(&dir, "0666");
    await_server(&dir);
    for (keys, sender) in [("", 65_534), ("peer_credentials = \"own\"", 0)] {
        let dormouse = dormouse(&dir, keys);
        // The larger one is spliced where that is possible.
        for bytes in [5, 3 << 20] {
            let (_, seen) = visit(&dir, (1234, 2345, ""), bytes).unwrap();
            let expected = vec![(dormouse.pid(), sender, sender)];
            assert_eq!((seen.uid, seen.bytes, seen.messages), (0, bytes, expected), "{keys}");
        }
    }
}

#[test]
fn messages_keep_their_sender_in_bulk() {
    let dir = directory();
    let _server = server(&dir, "0666");
    await_server(&dir);
    let _dormouse = dormouse(&dir, PASS);
    let (pid, seen) = visit(&dir, (1234, 2345, ""), 5 << 20).unwrap();
    assert_eq!((seen.bytes, seen.messages), (5 << 20, vec![(pid, 1234, 2345)]));
}

#[test]
fn a_client_that_wakes_the_server_keeps_its_user() {
    let dir = directory();
    let wake = format!("{PASS}\nwake = {{ exec = \"python3 DIR/whoami.py DIR/server 0666\" }}");
    for ready in ["connect", "command:test -S DIR/server"] {
        let dormouse = dormouse(&dir, &format!("{wake}\nready = \"{ready}\""));
        let (_, seen) = visit(&dir, (1234, 2345, "99"), 5).unwrap();
        assert_eq!((seen.uid, seen.gid, seen.groups.as_str()), (1234, 2345, "99"), "{}", dormouse.log());
        let (_, seen) = visit(&dir, (1235, 2345, ""), 5).unwrap();
        assert_eq!(seen.uid, 1235);
    }
}

#[test]
fn held_clients_of_a_checked_server_keep_their_users() {
    let dir = &directory();
    let _dormouse = dormouse(dir, &format!("{PASS}\ncheck = {{ inter = \"50ms\" }}"));
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..8).map(|number| scope.spawn(move || visit(dir, (1234 + number, 2345, ""), 5))).collect();
        let _server = server(dir, "0666");
        let mut seen: Vec<u32> =
            clients.into_iter().map(|client| client.join().unwrap().unwrap().1.uid).collect();
        seen.sort_unstable();
        assert_eq!(seen, (1234..1242).collect::<Vec<_>>());
    });
}

#[test]
fn the_mode_of_the_servers_socket_applies_to_the_client() {
    let dir = directory();
    let _server = server(&dir, "0660");
    await_server(&dir);
    let dormouse = dormouse(&dir, &format!("{PASS}\nhold.timeout = 0"));
    assert_eq!(visit(&dir, (1234, 2345, ""), 5), None, "{}", dormouse.log());
    dormouse.wait_for_log(&messages::refused_as(1234)).unwrap();
    assert_eq!(visit(&dir, (1234, 2345, "0"), 5).unwrap().1.uid, 1234, "{}", dormouse.log());
    assert_eq!(visit(&dir, (0, 0, ""), 5).unwrap().1.uid, 0, "{}", dormouse.log());
}

/// A client that the server's socket does not let in is no failure of the server, which others use.
#[test]
fn a_client_without_permission_does_not_take_the_server_down() {
    let dir = directory();
    let _server = server(&dir, "0660");
    await_server(&dir);
    let check = "{ inter = \"1h\", observe = \"layer4\", error_limit = 1, on_error = \"mark-down\" }";
    let keys = format!("{PASS}\ncheck = {check}\nretries = 0\nhold.timeout = 0");
    let dormouse = dormouse(&dir, &keys);
    for _ in 0..3 {
        assert_eq!(visit(&dir, (1234, 2345, ""), 5), None, "{}", dormouse.log());
    }
    assert_eq!(visit(&dir, (0, 0, ""), 5).unwrap().1.uid, 0, "{}", dormouse.log());
    assert!(!dormouse.log().contains(&messages::down("main/server1")), "{}", dormouse.log());
}

/// 1000 retries take longer than the client waits, so only the decision that the denial is final ends its wait.
#[test]
fn a_client_without_permission_is_refused_without_further_attempts() {
    let dir = directory();
    let _server = server(&dir, "0660");
    await_server(&dir);
    // The server may be about to change the mode of a new socket.
    wait::until("a socket that is not new", LIMIT, || {
        let changed = fs::metadata(dir.join("server")).doing(|| "look at the socket".to_owned())?.ctime();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok((now > changed.unsigned_abs() + 3).then_some(()))
    })
    .unwrap();
    let keys = format!("{PASS}\ncheck = {{ inter = \"1h\" }}\nretries = 1000\nhold.timeout = \"1h\"");
    let dormouse = dormouse(&dir, &keys);
    let client = |uid: u32| {
        let mut client = as_user(uid, uid, "");
        client.args(["python3".as_ref(), dir.join("client.py").as_os_str(), dir.join("front").as_os_str()]);
        let output = client.arg("5").output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let [answer, error] = client(1234);
    // What the client is told depends on whether it has sent its bytes before the end.
    let is_refused =
        error.is_empty() || error.contains("ConnectionResetError") || error.contains("BrokenPipeError");
    assert!(!answer.contains("1234") && is_refused, "{answer}{error}\n{}", dormouse.log());
    let [answer, error] = client(0);
    assert!(answer.ends_with('\n'), "{answer}{error}\n{}", dormouse.log());
}

/// The unit of a dormouse that is not root gives it just the two capabilities.
#[test]
fn a_dormouse_that_is_not_root_passes_credentials_with_two_capabilities() {
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let _server = server(&dir, "0660");
    await_server(&dir);
    let dir_name = dir.path().display();
    let text = format!(
        "[services.main]\nlisten = \"{dir_name}/front?mode=0666\"\nto = \"{dir_name}/server\"\n{PASS}\nhold.timeout = 0\n"
    );
    write(&dir.join("d.toml"), &text).unwrap();
    let mut command = as_user(65_534, 65_534, "");
    command.args(["--inh-caps=+setuid,+setgid", "--ambient-caps=+setuid,+setgid"]);
    command.arg(Subject::Dormouse.program().unwrap()).arg("run").arg("--config").arg(dir.join("d.toml"));
    let dormouse = Killed(command.spawn().unwrap());
    let front = dir.join("front");
    wait::until("the listener of dormouse", SOON, || Ok(front.exists().then_some(()))).unwrap();
    for (uid, gid, groups) in [(1234, 0, ""), (1234, 2345, "0"), (0, 0, "")] {
        let (_, seen) = visit(&dir, (uid, gid, groups), 5).unwrap();
        assert_eq!((seen.uid, seen.gid, seen.groups.as_str()), (uid, gid, groups));
        // The process of a sender needs CAP_SYS_ADMIN.
        assert_eq!(seen.messages, [(dormouse.0.id(), uid, gid)]);
    }
    // The socket of the server lets in only root and its group: neither the user of dormouse, nor others.
    for (uid, gid) in [(65_534, 65_534), (1234, 2345)] {
        assert_eq!(visit(&dir, (uid, gid, ""), 5), None);
    }
}

#[test]
fn pass_needs_two_capabilities() {
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let text = format!(
        "[services.main]\nlisten = \"{0}/front\"\nto = \"{0}/server\"\n{PASS}\n",
        dir.path().display()
    );
    write(&dir.join("d.toml"), &text).unwrap();
    let file = dir.join("d.toml").to_string_lossy().into_owned();
    let mut run = Launch::dormouse().args(["run", "--config", &file]).uid(65_534).start().unwrap();
    assert_eq!(run.wait(SOON).unwrap().code(), Some(77));
    assert!(run.stderr().text().contains(messages::NEEDS_SETUID), "{}", run.stderr().text());
    let mut check = Launch::dormouse().args(["check", &file]).uid(65_534).start().unwrap();
    assert_eq!(check.wait(SOON).unwrap().code(), Some(0));
    assert!(check.stderr().text().contains(messages::NEEDS_SETUID), "{}", check.stderr().text());
}

/// A passed socket is known only when dormouse starts.
#[test]
fn a_passed_tcp_socket_is_reported_at_the_start() {
    let dir = directory();
    let port = dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4).unwrap();
    let config = |keys: &str| format!("[services.main]\nlisten = \"fd:web\"\nto = \"DIR/server\"\n{keys}\n");
    let launch = || Launch::dormouse().pass(&port).names("web");
    let warned = Dormouse::with_config(&dir, &config(""), launch()).unwrap();
    warned.wait_for_log(messages::WIDER).unwrap();
    drop(warned);
    let silent = Dormouse::with_config(&dir, &config("peer_credentials = \"own\""), launch()).unwrap();
    assert!(!silent.log().contains(messages::WIDER), "{}", silent.log());
    drop(silent);
    let launch = dormouse_tests::rig::configured(&dir, &config(PASS), launch()).unwrap();
    let mut refused = launch.start().unwrap();
    assert_eq!(refused.wait(SOON).unwrap().code(), Some(78));
    assert!(
        refused.stderr().text().contains(messages::PASSED_SOCKET_IS_NOT_UNIX),
        "{}",
        refused.stderr().text()
    );
}

/// A local client claims in a PROXY header to be root.
#[test]
fn user_65534_does_not_become_root_by_a_proxy_header() {
    const CLAIM: &str = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        tlvs = bytes([0xe0, 0, 4, 0, 0, 0, 0, 0xe1, 0, 4, 0, 0, 0, 0, 0xe2, 0, 4, 0, 0, 0, 1])\n\
        addresses = bytes([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80])\n\
        s.sendall(b'\\r\\n\\r\\n\\0\\r\\nQUIT\\n\\x21\\x11' + (len(addresses) + len(tlvs)).to_bytes(2, 'big') + addresses + tlvs)\n\
        s.shutdown(socket.SHUT_WR); s.recv(1)\n";
    let dir = directory();
    let server = dormouse_tests::Listener::bind(dormouse_tests::Family::Unix).unwrap();
    let text = format!(
        "[services.main]\nlisten = \"DIR/front?mode=0666\"\nto = \"{}\"\naccept_proxy = [\"10.0.0.0/8\"]\n\
         proxy_protocol = {{ version = \"v2\", unique_id = true, credentials = true }}\n",
        server.address()
    );
    let _dormouse = Dormouse::with_config(&dir, &text, Launch::dormouse()).unwrap();
    let mut client = as_user(65_534, 65_534, "");
    client.args(["python3", "-c", CLAIM]).arg(dir.join("front"));
    let client = Killed(client.spawn().unwrap());
    let header = server.accept(SOON).unwrap().receive_to_end(SOON).unwrap().bytes;
    drop(client);
    let mut rest = &header[16 + 12..];
    let mut kinds = Vec::new();
    while let [kind, high, low, value @ ..] = rest {
        kinds.push(*kind);
        rest = &value[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    assert_eq!(kinds, [0x05], "only the identifier that dormouse states");
}

/// A `PostgreSQL` server whose rule for all connections is `peer`, with a superuser root.
struct Postgres {
    dir: TempDir,
    process: Child,
}

impl Postgres {
    fn program(name: &str) -> std::path::PathBuf {
        let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
            .unwrap_or_else(|error| panic!("PostgreSQL: {error}; run scripts/test-deps.sh"))
            .map(|version| version.unwrap().path())
            .collect();
        versions.sort();
        versions.pop().unwrap().join("bin").join(name)
    }

    /// Runs a program of `PostgreSQL` as the user postgres, who may start the server.
    fn command(name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(Self::program(name));
        command.stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    fn start() -> Result<Self> {
        let dir = TempDir::new()?;
        let (user, group) = (id("-u"), id("-g"));
        std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).doing(|| "chown".to_owned())?;
        let data = dir.join("data");
        let made = Self::command("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "root", "-A", "peer", "--no-sync"])
            .output();
        let made = made.doing(|| "run initdb".to_owned())?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let process = Self::command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(fs::File::create(dir.join("log")).doing(|| "create the log".to_owned())?)
            .spawn()
            .doing(|| "start postgres".to_owned())?;
        let postgres = Self { dir, process };
        wait::until("an answer of PostgreSQL", LIMIT, || {
            Ok((psql(postgres.dir.path(), 0, "root", "select 1") == Some("1".to_owned())).then_some(()))
        })?;
        Ok(postgres)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // Ends it and its children at once (pg_ctl -m immediate).
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}

/// A number of the user postgres.
fn id(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Connects a client of this user to `PostgreSQL` as `role`. Returns its answer; `None` if the client was not let in.
fn psql(socket_dir: &Path, uid: u32, role: &str, query: &str) -> Option<String> {
    let output = as_user(uid, uid, "")
        .arg(Postgres::program("psql"))
        .args(["-XAtw", "-d", "postgres", "-U", role, "-c", query, "-h"])
        .arg(socket_dir)
        .env("PGCONNECT_TIMEOUT", "20")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_peer_rule_of_postgresql_lets_in_the_right_user_and_nobody_else() {
    let postgres = Postgres::start().unwrap();
    let nobody = 65_534;
    psql(postgres.dir.path(), 0, "root", "create role nobody login").unwrap();
    let dir = TempDir::new().unwrap();
    let start = |keys: &str| {
        let text = format!(
            "[services.main]\nlisten = \"DIR/.s.PGSQL.5432?mode=0666\"\nto = \"{}/.s.PGSQL.5432\"\n{keys}\n",
            postgres.dir.path().display()
        );
        Dormouse::with_config(&dir, &text, Launch::dormouse()).unwrap()
    };
    let who = |uid: u32, role: &str| psql(dir.path(), uid, role, "select current_user");

    let dormouse = start(PASS);
    assert_eq!(who(nobody, "nobody"), Some("nobody".to_owned()), "{}", dormouse.log());
    assert_eq!(who(0, "root"), Some("root".to_owned()), "{}", dormouse.log());
    for (uid, role) in [(nobody, "root"), (id("-u"), "root"), (1234, "root"), (1234, "nobody"), (0, "nobody")]
    {
        assert_eq!(who(uid, role), None, "user {uid} as {role}");
    }
    drop(dormouse);

    // What pass is for: every client has the rights of dormouse.
    let dormouse = start("peer_credentials = \"own\"");
    assert_eq!(who(nobody, "root"), Some("root".to_owned()), "{}", dormouse.log());
}

/// The client is connected as its user also while others of no permission wait.
#[test]
fn a_client_without_permission_does_not_hold_up_others() {
    let dir = directory();
    let dormouse = dormouse(&dir, PASS);
    let front = Address::Unix(dir.join("front"));
    std::thread::scope(|scope| {
        let denied: Vec<_> = (0..4).map(|_| scope.spawn(|| visit(&dir, (1234, 2345, ""), 5))).collect();
        let permitted = Stream::connect(&front, SOON).unwrap();
        permitted.send(b"x", SOON).unwrap();
        permitted.finish().unwrap();
        let _server = server(&dir, "0660");
        let answer = permitted.receive_to_end(LIMIT).unwrap().bytes;
        let seen = Seen::parse(std::str::from_utf8(&answer).unwrap());
        assert_eq!(seen.uid, 0, "{}", dormouse.log());
        assert!(denied.into_iter().all(|client| client.join().unwrap().is_none()), "{}", dormouse.log());
    });
}
