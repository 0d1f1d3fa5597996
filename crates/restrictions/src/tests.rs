use dormouse_config::{Environment, read, single};

use rustix::thread::CapabilitySet;

use super::*;

fn config(service: &str) -> Config {
    let text = format!("[services.web]\nto = '127.0.0.1:1'\n{service}\n");
    read(&[single(Path::new("d.toml"), &text)], Environment::SYSTEM).result.unwrap()
}

fn restrictions(service: &str) -> Restrictions {
    Restrictions::of(Needs::of(&config(service), None), true, None)
}

#[test]
fn a_directory_outside_needs_a_restart() {
    let restrictions = restrictions("listen = '/dev/shm/a.sock'");
    let allows = |restrictions: &Restrictions, listen: &str| {
        restrictions.allows(&config(&format!("listen = '{listen}'")))
    };
    for allowed in ["/dev/shm/b.sock", "127.0.0.1:80", "@a"] {
        assert_eq!(allows(&restrictions, allowed), Ok(()), "{allowed}");
    }
    assert_eq!(allows(&restrictions, "/usr/a.sock"), Err(NeedsRestart::Directory("/usr".into())));
    let unrestricted = Restrictions { restricts_files: false, ..restrictions };
    assert_eq!(allows(&unrestricted, "/usr/a.sock"), Ok(()));
}

#[test]
fn a_directory_that_was_made_again_needs_a_restart() {
    let base = dormouse_tests::temp::TempDir::new().unwrap();
    let path = base.join("sockets").canonicalize().unwrap_or_else(|_| base.join("sockets"));
    std::fs::create_dir(&path).unwrap();
    let service = format!("listen = '{}/a.sock'", path.display());
    let restrictions = restrictions(&service);
    assert_eq!(restrictions.allows(&config(&service)), Ok(()));
    std::fs::rename(&path, base.join("former")).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        restrictions.allows(&config(&service)),
        Err(NeedsRestart::Directory(path.canonicalize().unwrap()))
    );
}

#[test]
fn another_program_needs_a_restart() {
    let listen = "listen = '127.0.0.1:2'\n";
    let started = restrictions(&format!("{listen}wake = {{ exec = 'server -x' }}"));
    let allows =
        |restrictions: &Restrictions, rest: &str| restrictions.allows(&config(&format!("{listen}{rest}")));
    for same in ["wake = { exec = 'server -x' }\nidle = '5min'", "wake = { exec = 'server -x' }", ""] {
        assert_eq!(allows(&started, same), Ok(()), "{same}");
    }
    for other in [
        "wake = { exec = 'server -y' }",
        "wake = { exec = 'server -x', directory = '/' }",
        "wake = { exec = 'server -x', environment = { A = '1' } }",
        "wake = { exec = 'server -x' }\nready = 'command:test -e /x'",
        "wake = { start = 'server -x' }",
    ] {
        let refused = allows(&started, other);
        assert!(matches!(refused, Err(NeedsRestart::Program(..))), "{other}: {refused:?}");
        assert!(refused.unwrap_err().to_string().contains("needs a restart"));
    }
    // A service may get another name. A command has it in a variable, by which a script may act.
    let renamed = |restrictions: &Restrictions, wake: &str| {
        let text = format!("[services.shop]\nto = '127.0.0.1:1'\n{listen}wake = {wake}\n");
        let config = read(&[single(Path::new("d.toml"), &text)], Environment::SYSTEM).result.unwrap();
        restrictions.allows(&config)
    };
    assert_eq!(renamed(&started, "{ exec = 'server -x' }"), Ok(()));
    let command = restrictions(&format!("{listen}wake = {{ start = 'server -x' }}"));
    assert!(matches!(renamed(&command, "{ start = 'server -x' }"), Err(NeedsRestart::Program(..))));
    // The owner of its listener is judged by the spawner, which is there.
    assert_eq!(allows(&started, "wake = { unit = 'web.service' }"), Ok(()));
    assert_eq!(
        allows(&restrictions(listen), "wake = { unit = 'web.service' }"),
        Err(NeedsRestart::Processes)
    );
}

/// Only a process that had a capability can have given it up.
#[test]
fn a_capability_that_was_given_up_needs_a_restart() {
    let started = restrictions("listen = '127.0.0.1:2'");
    let allowed = started.allows(&config("listen = '127.0.0.1:2?interface=lo'"));
    let had = dormouse_sys::capabilities::before().contains(CapabilitySet::NET_RAW);
    assert_eq!(allowed.is_err(), had, "{allowed:?}");
    assert!(
        NeedsRestart::Capability("CAP_NET_RAW")
            .to_string()
            .contains("CAP_NET_RAW is needed, which needs a restart")
    );
    // Ports below 1024 need none.
    assert_eq!(started.allows(&config("listen = '127.0.0.1:80'")), Ok(()));
}

/// The spawner sets modes and owners, and learns at the start which.
#[test]
fn another_owner_of_a_socket_needs_a_restart() {
    let started = restrictions("listen = '/dev/shm/a.sock?mode=0600&owner=7'");
    let allows = |restrictions: &Restrictions, listen: &str| {
        restrictions.allows(&config(&format!("listen = '{listen}'")))
    };
    for allowed in ["/dev/shm/a.sock?mode=0666", "/dev/shm/b.sock?owner=7", "/dev/shm/a.sock", "@a"] {
        assert_eq!(allows(&started, allowed), Ok(()), "{allowed}");
    }
    for refused in ["/dev/shm/a.sock?owner=8", "/dev/shm/a.sock?group=7"] {
        assert_eq!(allows(&started, refused), Err(NeedsRestart::Permissions), "{refused}");
    }
    // A new socket has its mode from the beginning. Without a spawner nothing changes that of an old one.
    let base = dormouse_tests::temp::TempDir::new().unwrap();
    let path = base.join("a.sock").display().to_string();
    let plain = restrictions(&format!("listen = '{path}'"));
    assert_eq!(allows(&plain, &format!("{path}?mode=0604")), Ok(()));
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(allows(&plain, &format!("{path}?mode=0604")), Err(NeedsRestart::Permissions));
    assert_eq!(allows(&plain, &format!("{path}b?owner=7")), Err(NeedsRestart::Permissions));
    assert!(NeedsRestart::Permissions.to_string().contains("needs a restart"));
}

#[test]
fn notifications_open_one_directory_and_not_all_of_run_or_tmp() {
    let config = config("listen = '@a'\nwake = { exec = 'a' }\nready = 'notify'");
    prepare_notify_directory();
    let needs = Needs::of(&config, None);
    let notify = needs.changeable.notify.clone().unwrap();
    assert!(notify.to_string_lossy().contains("dormouse-notify-"), "{notify:?}");
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let others = needs.writable.iter().filter(|path| **path != notify).count();
    assert_eq!(others, runtime.iter().flat_map(std::env::split_paths).count(), "{:?}", needs.writable);
    std::fs::remove_dir(notify).unwrap();
}

#[test]
fn a_configuration_without_workloads_needs_no_spawner() {
    for (service, spawner) in [
        ("listen = '@a'", false),
        ("listen = '/dev/shm/a.sock'", false),
        ("listen = '/dev/shm/a.sock?mode=0600'", true),
        ("listen = '@a'\nwake = { wol = '00:00:00:00:00:01' }", false),
        ("listen = '@a'\nwake = { unit = 'web.service' }", true),
        ("listen = '@a'\nwake = { exec = 'a' }", true),
        ("listen = '@a'\nwake = { start = 'a' }", true),
    ] {
        assert_eq!(restrictions(service).granted.spawner(), spawner, "{service}");
    }
}
