//! `dormouse check`: its output and its exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dormouse_tests::messages;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Launch, Result};

/// The exit code, the standard output and the standard error of a command.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

fn dormouse(args: &[&str]) -> Result<Outcome> {
    let mut subject = Launch::dormouse().args(args).start()?;
    let code = subject.wait(SOON)?.code();
    Ok(Outcome { code, out: subject.stdout().text(), err: subject.stderr().text() })
}

fn check(file: &Path) -> Result<Outcome> {
    dormouse(&["check", &file.to_string_lossy()])
}

#[test]
fn a_valid_file_prints_what_would_be_opened_started_and_stopped() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(
        &file,
        "[services.web]\nlisten = ['127.0.0.1:8080', 'unix:/run/web.sock?mode=0660', 'fd:web']\nto = '/run/b.sock'\n\
         peer_credentials = 'own'\nwake = { exec = 'python3 -m http.server', user = 'root', on = 'data', allow = '10.0.0.0/8' }\n\
         idle = { freeze = '1min', stop = '10min', keep_warm = 'Mon-Fri 08:00-18:00' }\n",
    )
    .unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(
        said.out,
        "service web\n\
         \x20 listens on   127.0.0.1:8080\n\
         \x20 listens on   /run/web.sock, mode 0660\n\
         \x20 listens on   the sockets of a socket unit with FileDescriptorName=web; without one dormouse does not start\n\
         \x20 goes to      /run/b.sock (server1), started and stopped as a process of user root: python3 -m http.server\n\
         \x20 serves       4096 sessions at once, further ones wait in the backlog\n\
         \x20 holds        1024 clients for 30s while the server does not answer, further ones are refused\n\
         \x20 woken by     the first byte of a client, from 10.0.0.0/8\n\
         \x20 ready when   it accepts a connection; within 2min; a start that takes longer than 30s loses its clients \
         (hold.timeout)\n\
         \x20 listener     must be a process of the started program\n\
         \x20 sleeps       frozen after 1min, stopped after 10min without a session, not before it has run for 1min, \
         awake at Mon-Fri 08:00-18:00; only if dormouse started it (wake.stop_foreign)\n\
         needs rights beyond the shipped dormouse.service; dormouse check --drop-in prints them\n\
         \x20 services.web.wake.exec: the restrictions of dormouse.service apply to this program, and many programs do \
         not run with all of them\n\
         \x20 services.web.wake.exec: dormouse freezes this program by a control group; without this right it sends \
         SIGSTOP\n\
         \x20 services.web.wake.exec: dormouse starts this program as the user root\n\
         \x20 services.web.listen: dormouse creates the socket /run/web.sock\n\
         \x20 services.web.to: the program creates the socket /run/b.sock\n"
    );
}

#[test]
fn check_shows_the_user_and_the_rights_of_a_confined_program() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let text =
        "[services.web]\nlisten = '@a'\nto = '127.0.0.1:9'\nwake = { exec = 'sh', sandbox = 'strict' }\n";
    fs::write(&file, text).unwrap();
    let said = check(&file).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains(messages::RUNS_AS_ROOT), "{}", said.err);
    let user = said
        .out
        .split("as a confined process of its own user ")
        .nth(1)
        .and_then(|rest| rest.split(':').next());
    let user = user.and_then(|user| user.parse().ok()).filter(|user| (61_184..=65_519).contains(user));
    let user: u32 = user.unwrap_or_else(|| panic!("{}", said.out));
    assert!(
        said.out
            .contains(&format!("services.web.wake.exec: dormouse starts this program as the user {user}\n")),
        "{}",
        said.out
    );
    let drop_in = dormouse(&["check", "--drop-in", &file.to_string_lossy()]).unwrap().out;
    assert!(drop_in.contains("\nRestrictNamespaces=user mnt ipc\nSystemCallFilter=@mount "), "{drop_in}");
    // Without it root is named the way out.
    fs::write(&file, text.replace("strict", "none")).unwrap();
    let said = check(&file).unwrap();
    let root = rustix::process::geteuid().is_root();
    assert_eq!(said.err.contains("or write wake.sandbox = \"strict\""), root, "{}", said.err);
}

#[test]
fn check_warns_of_what_defeats_a_confinement() {
    let dir = TempDir::below(Path::new("/tmp")).unwrap();
    let (file, open) = (dir.join("d.toml"), dir.join("open"));
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.join("server.py"), "").unwrap();
    let text = "[services.web]\nlisten = '@a'\nto = 'DIR/missing/socket'\n\
                wake = { exec = 'sh DIR/server.py', sandbox = 'strict', directory = '/etc', user = 'root' }\n\
                [services.db]\nlisten = '@b'\nto = 'DIR/open/socket'\n\
                wake = { exec = 'sh --file=DIR/server.py', sandbox = 'strict', directory = 'DIR/open' }\n\
                [services.own]\nlisten = '@c'\nto = '127.0.0.1:9'\n\
                wake = { exec = 'sh DIR/server.py', sandbox = 'strict', directory = 'DIR' }\n";
    let place = dir.path().display().to_string();
    fs::write(&file, text.replace("DIR", &place)).unwrap();
    let said = check(&file).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let hidden = format!("{place}/server.py is below /tmp");
    for (line, key, message) in [
        (3, "web.to", format!("the directory {place}/missing does not exist")),
        (4, "web.wake.exec", hidden.clone()),
        (4, "web.wake.directory", "/etc contains files of others".to_owned()),
        (4, "web.wake.user", "root reads the files of all users".to_owned()),
        (7, "db.to", format!("every user may write to {place}/open")),
        (8, "db.wake.exec", hidden.clone()),
        (8, "db.wake.directory", format!("every user may write to {place}/open")),
    ] {
        let warning = format!("{place}/d.toml:{line}: services.{key}: {message}");
        assert!(said.err.contains(&warning), "{warning}\n{}", said.err);
    }
    // Its own directory is there.
    assert!(!said.err.contains(&format!("services.own.wake.exec: {hidden}")), "{}", said.err);
}

#[test]
fn check_shows_all_addresses_as_an_asterisk() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let text =
        "[services.web]\nlisten = ['*:8080', '[::]:8081?v6only', '0.0.0.0:8082']\nto = '127.0.0.1:9'\n";
    fs::write(&file, text).unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let listens: Vec<_> =
        said.out.lines().filter_map(|line| line.trim_start().strip_prefix("listens on   ")).collect();
    assert_eq!(listens, ["*:8080", "[::]:8081, v6only", "0.0.0.0:8082"]);
}

#[test]
fn check_shows_which_services_share_a_workload_and_whose_idle_times_count() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let service = |name: &str, idle: &str| {
        format!(
            "[services.{name}]\nlisten = '@{name}'\nto = '@{name}-server'\nwake.unit = 'game'\nidle = {idle}\n"
        )
    };
    let lines = |idle: [&str; 2]| {
        fs::write(&file, service("game", idle[0]) + &service("rcon", idle[1])).unwrap();
        let said = check(&file).unwrap();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        let of_it = |line: &&str| line.starts_with("  shares") || line.starts_with("  sleeps");
        said.out.lines().filter(of_it).map(|line| line[15..].to_owned()).collect::<Vec<_>>()
    };
    let end = "; only if dormouse started it (wake.stop_foreign)";
    let sleeps = |times: &str| format!("{times}{end}");
    let shares = |other: &str| format!("its workload (unit game.service) with {other}: one start, one stop");
    for (idle, times) in [
        (
            ["{ stop = '5min', minimum_uptime = '1min' }", "{ stop = '10min', minimum_uptime = 0 }"],
            "stopped after 10min (idle of rcon) without a session of any of these services, \
             not before it has run for 1min (idle.minimum_uptime of game)",
        ),
        (
            [
                "{ stop = '5min', freeze = '1min', minimum_uptime = 0 }",
                "{ stop = '5min', minimum_uptime = 0 }",
            ],
            "never frozen (idle of rcon), stopped after 5min without a session of any of these services",
        ),
        (
            [
                "{ stop = '5min', minimum_uptime = 0 }",
                "{ stop = '5min', minimum_uptime = 0, keep_warm = ['Mon-Fri 08:00-18:00'] }",
            ],
            "stopped after 5min without a session of any of these services, awake at Mon-Fri 08:00-18:00 \
             (idle.keep_warm of rcon)",
        ),
    ] {
        assert_eq!(lines(idle), [shares("rcon"), sleeps(times), shares("game"), sleeps(times)], "{idle:?}");
    }
}

#[test]
fn check_does_not_announce_the_stop_of_a_machine() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let text = "[services.web]\nlisten = '@a'\nto = '192.0.2.1:80'\nwake = { wol = '00:11:22:33:44:55' }\n\
                idle = { stop = '5min', minimum_uptime = 0 }\n";
    fs::write(&file, text).unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let sleeps = said.out.lines().find(|line| line.trim_start().starts_with("sleeps"));
    assert_eq!(
        sleeps.map(str::trim_start),
        Some("sleeps       counts as asleep after 5min without a session; dormouse does not stop a machine")
    );
}

#[test]
fn check_shows_admin_access_before_the_services() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(
        &file,
        "control = '/run/c.sock?mode=0660'\nhttp = '127.0.0.1:9180'\n[services.web]\nlisten = '@a'\nto = '@b'\n",
    )
    .unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let first: Vec<_> = said.out.lines().take(3).collect();
    assert_eq!(
        first,
        [
            "takes commands on /run/c.sock, mode 0660",
            "serves the page and the metrics on http://127.0.0.1:9180/",
            "service web"
        ]
    );
    fs::write(&file, "http = '127.0.0.1:8080'\n[services.web]\nlisten = '127.0.0.1:8080'\nto = '@b'\n")
        .unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
}

#[test]
fn an_invalid_file_reports_all_errors() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(&file, "[services.web]\nlisten = 8080\nhodl.max = 0\nhold.max = 0\n").unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    let name = file.display();
    assert_eq!(
        said.err,
        format!(
            "{name}:1: services.web: to is missing; for example to = \"127.0.0.1:9000\"\n\
             {name}:2: services.web.listen: takes a string or a list of strings, not a number; for example listen = \
             \"127.0.0.1:8080\"\n\
             {name}:3: services.web.hodl: unknown key; did you mean hold?\n\
             {name}:4: services.web.hold.max: must be at least 1; to turn clients away at once, write hold.timeout = \
             \"0\"\n"
        )
    );
}

#[test]
fn a_warning_does_not_prevent_a_start() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(&file, "[services.web]\nlisten = '@a'\nto = '@b'\nwake.exec = 'sh'\nexclusive = 'gpu'\n")
        .unwrap();
    let said = check(&file).unwrap();
    assert_eq!(said.code, Some(0));
    assert!(
        said.err.ends_with(
            ": the group gpu has no other member; check its spelling, or remove this setting (warning)\n"
        ),
        "{}",
        said.err
    );
    assert!(said.out.contains("runs alone   in the group gpu"), "{}", said.out);
}

#[test]
fn check_warns_of_programs_and_directories_that_do_not_exist() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(
        &file,
        "[services.web]\nlisten = '@a'\nto = '@b'\n\
         wake = { exec = 'no-such-program', user = 'root', directory = '/nonexistent/srv' }\n\
         [services.wiki]\nlisten = '@c'\nto = '@d'\nwake = { exec = '/nonexistent/wiki', user = 'root' }\n\
         [services.jobs]\nlisten = '@e'\n[[services.jobs.servers]]\nto = '@f'\nwake = { start = 'no-such-start' }\n\
         [services.jobs.ready]\ncommand = 'no-such-check'\n",
    )
    .unwrap();
    let said = check(&file).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let name = file.display();
    assert_eq!(
        said.err,
        format!(
            "{name}:4: services.web.wake.directory: /nonexistent/srv does not exist; create it (warning)\n\
             {name}:4: services.web.wake.exec: no-such-program is not in PATH; install it, or correct the name (warning)\n\
             {name}:8: services.wiki.wake.exec: /nonexistent/wiki is not a program; install it, or correct the name \
             (warning)\n\
             {name}:13: services.jobs.servers.wake.start: no-such-start is not in PATH; install it, or correct the name \
             (warning)\n\
             {name}:15: services.jobs.ready.command: no-such-check is not in PATH; install it, or correct the name \
             (warning)\n"
        )
    );
}

/// Where dormouse would not start, the check fails.
#[test]
fn a_directory_without_which_dormouse_does_not_start_is_an_error() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(dir.join("file"), "").unwrap();
    let text = format!(
        "control = '/nonexistent/c'\n[services.web]\nlisten = ['{0}/missing/a', '{0}/missing/b', '@d',\n'{0}/file/a', \
         '{0}/file', '/run/dormouse-no-such-directory/a', '/run/dormouse/no-such/a']\nto = '@b'\n",
        dir.path().display()
    );
    fs::write(&file, text).unwrap();
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    let (name, dir) = (file.display(), dir.path().display());
    let errors = format!(
        "{name}:1: control: the directory /nonexistent does not exist; create it\n\
         {name}:3: services.web.listen: the directory {dir}/missing does not exist; create it\n\
         {name}:4: services.web.listen: {dir}/file is not a directory; correct the path\n\
         {name}:4: services.web.listen: {dir}/file exists and is not a socket; remove it, or choose another path\n"
    );
    assert!(said.err.starts_with(&errors), "each once: {}", said.err);
    let warning = said.err.strip_prefix(&errors).unwrap();
    let begin = format!(
        "{name}:4: services.web.listen: the directory /run/dormouse-no-such-directory does not exist"
    );
    assert!(warning.starts_with(&begin) && warning.ends_with("(warning)\n"), "{warning}");
    assert_eq!(warning.lines().count(), 1, "the unit creates /run/dormouse: {warning}");
    let run = dormouse(&["run", &format!("--config={name}")]).unwrap();
    assert_ne!(run.code, Some(0), "dormouse does not start either: {}", run.err);
}

#[test]
fn check_warns_of_a_program_that_its_user_may_not_execute() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (file, private) = (dir.join("d.toml"), dir.join("private"));
    fs::create_dir(&private).unwrap();
    fs::write(private.join("program"), "").unwrap();
    fs::set_permissions(private.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(private.join("program"), dir.join("link")).unwrap();
    let text = format!(
        "[services.web]\nlisten = '@a'\nto = '@b'\n[services.web.wake]\nexec = '{0}/link'\nuser = '64321'\n\
         group = '64321'\ndirectory = '{0}/private'\n",
        dir.path().display()
    );
    fs::write(&file, text).unwrap();
    for (mode, expected) in [(0o700, 2), (0o755, 0)] {
        fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
        let said = check(&file).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.err);
        let lines: Vec<_> = said.err.lines().filter(|line| line.contains(messages::USER_MAY_NOT)).collect();
        assert_eq!(lines.len(), expected, "{}", said.err);
        for (line, number) in lines.iter().zip([5, 8]) {
            let begin = format!("{}:{number}: services.web.wake.", file.display());
            let place = format!("{} (mode 0700, owner ", private.display());
            assert!(line.starts_with(&begin) && line.contains(&place), "{line}");
        }
    }
}

/// dormouse could not start the program, so it does not start itself.
#[test]
fn a_user_without_the_capability_to_become_it_is_refused_at_the_start() {
    let dir = TempDir::new().unwrap();
    let command = |args: &[&str]| {
        let mut subject = Launch::dormouse().args(args).unprivileged().start().unwrap();
        (subject.wait(SOON).unwrap().code(), subject.stderr().text())
    };
    let (code, err) = command(&["run", "--listen=@a", "--to=@b", "--exec=true", "--uid=root"]);
    assert_eq!(code, Some(77), "{err}");
    assert!(err.contains(&messages::user_needs("--uid=root", messages::NEEDS_ANOTHER_USER)), "{err}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.join("d.toml");
    fs::write(&file, "[services.main]\nlisten = '@a'\nto = '@b'\nwake = { exec = 'true', user = 'root' }\n")
        .unwrap();
    let path = file.to_string_lossy();
    let (code, err) = command(&["run", "--config", &path]);
    assert_eq!(code, Some(77), "{err}");
    assert!(
        err.contains(&messages::user_needs("wake.user = \"root\"", messages::NEEDS_ANOTHER_USER)),
        "{err}"
    );
    let (code, err) = command(&["check", &path]);
    assert_eq!(code, Some(0), "{err}");
    let line =
        format!("{path}:4: services.main.wake.user: the user root needs {}", messages::NEEDS_ANOTHER_USER);
    assert!(err.contains(&line), "{err}");
}

#[test]
fn what_the_check_may_not_see_is_not_missing() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (file, hidden) = (dir.join("d.toml"), dir.join("hidden"));
    fs::create_dir(&hidden).unwrap();
    let text = format!(
        "[services.web]\nlisten = '{0}/in/a'\nto = '@b'\nwake = {{ exec = '{0}/program', directory = '{0}/in' }}\n",
        hidden.display()
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    let launch = Launch::dormouse().args(["check", &file.to_string_lossy()]).unprivileged();
    let mut check = launch.start().unwrap();
    let code = check.wait(SOON).unwrap().code();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!((code, check.stderr().text().as_str()), (Some(0), ""));
}

#[test]
fn two_documents_are_not_printed_as_one() {
    let said = dormouse(&["check", "--drop-in", "--polkit", "/nonexistent"]).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("run dormouse check once for each"), "{}", said.err);
}

#[test]
fn a_directory_that_dormouse_refuses_is_an_error() {
    let dir = TempDir::new().unwrap();
    let (file, open) = (dir.join("d.toml"), dir.join("open"));
    fs::create_dir(&open).unwrap();
    let text = format!(
        "control = '{0}/c'\n[services.web]\nlisten = '{0}/a'\nto = '@b'\n[services.wiki]\nlisten = '@c'\nto = '@d'\n",
        open.display()
    );
    fs::write(&file, text).unwrap();
    for (mode, expected) in [(0o777, ["1: control: ", "3: services.web.listen: "].as_slice()), (0o1777, &[])]
    {
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        let said = check(&file).unwrap();
        assert_eq!(said.code, Some(i32::from(!expected.is_empty())), "{}", said.err);
        let lines: Vec<_> = said.err.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, begin) in lines.iter().zip(expected) {
            let begin = format!("{}:{begin}{}", file.display(), messages::EVERY_USER_MAY_WRITE);
            assert!(line.starts_with(&begin), "{line}");
            assert!(!line.ends_with("(warning)") && line.contains("chmod +t"), "{line}");
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_the_configuration_is_an_error_at_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let expected = format!("{}: {}\n", file.display(), messages::IS_A_PIPE);
    let said = check(&file).unwrap();
    assert_eq!((said.code, said.err), (Some(1), expected.clone()));
    let said = dormouse(&["run", &format!("--config={}", file.display())]).unwrap();
    assert_eq!((said.code, said.err), (Some(78), expected));
}

#[test]
fn a_file_of_one_service_can_be_checked_alone() {
    let dir = TempDir::new().unwrap();
    let directory = dir.join("services.d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("web.toml"), "listen = '@a'\nto = '@b'\n").unwrap();
    let said = check(&directory.join("web.toml")).unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(said.out.starts_with("service web\n"), "{}", said.out);
}

#[test]
fn the_readiness_of_a_unit_is_that_of_its_start_job() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    fs::write(&file, "[services.web]\nlisten = '@a'\nto = '@b'\nwake.unit = 'web'\nready = 'notify'\n")
        .unwrap();
    let said = check(&file).unwrap();
    assert!(said.out.contains("ready when   its start job is done; within 2min"), "{}", said.out);
}

#[test]
fn an_unreadable_file_is_reported() {
    let dir = TempDir::new().unwrap();
    let said = check(&dir.join("nothing.toml")).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(
        said.err.ends_with(
            "nothing.toml: cannot be read: No such file or directory (os error 2); check the name\n"
        )
    );
    let said = dormouse(&["check", "a", "b"]).unwrap();
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err, "dormouse check takes one file; see dormouse check --help.\n");
}

#[test]
fn the_file_may_be_named_as_for_run() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/dormouse.toml");
    let said = dormouse(&["check", &format!("--config={}", file.display())]).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.out, check(&file).unwrap().out);
    let said = dormouse(&["check", "--config=a", "b"]).unwrap();
    assert_eq!(said.err, "dormouse check takes one file; see dormouse check --help.\n");
}

#[test]
fn options_of_a_path_need_the_right_separators() {
    let said = dormouse(&["run", "--listen=/tmp/web.sock,mode=660", "--to=@b"]).unwrap();
    assert_eq!(said.code, Some(78));
    assert!(said.err.contains("write /tmp/web.sock?mode=0660"), "{}", said.err);
    let said = dormouse(&["proxy", "--listen=/tmp/web.sock?mode=660", "@b"]).unwrap();
    assert!(said.err.contains("takes no options behind a path"), "{}", said.err);
}

#[test]
fn run_reports_the_same_errors_and_does_not_start() {
    let said = dormouse(&["run", "--listen=8080", "--hodl=1s", "--exec=x", "--uid=root", "--wol=y"]).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
    assert_eq!(
        said.err,
        "dormouse run: unrecognized option '--hodl=1s'; did you mean --hold?\n\
         --listen: \"8080\": address is missing; write 127.0.0.1:8080, or *:8080 for all addresses\n\
         --wol: conflicts with --exec; keep only one\n"
    );
}

#[test]
fn a_listener_that_is_wider_than_the_servers_socket_is_a_warning() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("d.toml");
    let socket = dir.join("server");
    let _server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let narrow = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&socket, narrow).unwrap();
    let warned = |listen: &str, keys: &str| {
        let to = socket.display();
        let text = format!("[services.db]\nlisten = {listen:?}\nto = '{to}'\n{keys}\n");
        fs::write(&file, text).unwrap();
        let said = check(&file).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.err.contains(messages::WIDER)
    };
    let path = |options: &str| format!("{}/front{options}", dir.path().display());
    for listen in ["127.0.0.1:15432", "*:15432", "vsock::15432", "@front", &path("?mode=0666")] {
        assert!(warned(listen, ""), "{listen}");
        assert!(!warned(listen, "peer_credentials = 'own'"), "{listen}");
    }
    for listen in [path(""), path("?mode=0600"), "fd:front".to_owned()] {
        assert!(!warned(&listen, ""), "{listen}");
    }
    let mut run = Launch::dormouse()
        .args(["run", "--listen=127.0.0.1:0", &format!("--to={}", socket.display())])
        .start()
        .unwrap();
    run.stderr().wait_for(messages::WIDER, SOON).unwrap();
    run.stderr().wait_for(messages::LISTENING, SOON).unwrap();
    run.signal(rustix::process::Signal::TERM).unwrap();
    run.wait(SOON).unwrap();
}

#[test]
fn the_shipped_example_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/dormouse.toml");
    let said = check(&file).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains(messages::WIDER), "{}", said.err);
}
