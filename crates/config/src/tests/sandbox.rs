//! The confinement of programs (`wake.sandbox`).

use dormouse_activate::exec::{Account, Exec, Sandbox};

use super::*;

const CONFINED: &str = "[services.web]\nlisten = '@a'\nto = '/run/web/socket'\npeer_credentials = 'own'\n";

fn program(keys: &str) -> Exec {
    let [service] =
        config(&format!("{CONFINED}wake = {{ exec = 'a', {keys} }}")).services.try_into().unwrap();
    match &service.servers[0].wake {
        Some(ActivatorConfig::Exec(exec)) => exec.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_confined_program_has_a_user_of_its_own_unless_one_is_named() {
    assert_eq!(program("sandbox = 'none'"), program(""));
    let Sandbox::Strict(strict) = program("sandbox = 'strict', directory = '/srv/web'").sandbox else {
        panic!()
    };
    let own = strict.own_user.unwrap();
    assert_eq!(own, Account { home: Some("/srv/web".into()), ..Account::own("web").unwrap() });
    assert_eq!(strict.socket_directory.as_deref(), Some(Path::new("/run/web")));
    let named = program("sandbox = 'strict', user = '64321', group = '64322'");
    let Sandbox::Strict(strict) = named.sandbox else { panic!() };
    assert_eq!((strict.own_user, named.user.unwrap().identity.uid), (None, 64_321));
}

#[test]
fn a_confined_program_does_not_run_as_root_by_accident() {
    for (keys, warnings) in [("", 1), (", sandbox = 'none'", 1), (", sandbox = 'strict'", 0)] {
        let outcome = outcome(&format!("{CONFINED}wake = {{ exec = 'a'{keys} }}"));
        assert_eq!(outcome.warnings.len(), warnings, "{keys}");
    }
}

#[test]
fn what_defeats_the_confinement_is_an_error() {
    let reported = |to: &str, keys: &str| {
        errors(&format!(
            "[services.web]\nlisten = '@a'\nto = '{to}'\nwake = {{ exec = 'a', sandbox = 'strict'{keys} }}"
        ))
    };
    assert_eq!(
        reported("127.0.0.1:9", ", directory = '/'"),
        [
            "d.toml:4: services.web.wake.directory: contains all directories, and wake.sandbox would let the program write to them; name one of its own"
        ]
    );
    assert_eq!(
        reported("/tmp/socket", ""),
        [
            "d.toml:1: services.web: the program listens in /tmp, which is private to it (wake.sandbox), so dormouse cannot connect; use a directory such as /run/web"
        ]
    );
    assert_eq!(
        errors(&format!("{BASE}wake = {{ unit = 'a', sandbox = 'strict' }}")),
        ["d.toml:4: services.web.wake.sandbox: requires wake.exec; add it, or remove this setting"]
    );
    assert_eq!(
        errors(&format!("{BASE}wake = {{ exec = 'a', sandbox = 'tight' }}")),
        [
            "d.toml:4: services.web.wake.sandbox: takes \"none\" or \"strict\", not \"tight\"; for example sandbox = \"strict\""
        ]
    );
}

/// The error alone tells what to correct.
#[test]
fn a_wrong_word_is_no_reason_for_a_warning_about_root() {
    let outcome = outcome(&format!("{CONFINED}wake = {{ exec = 'a', sandbox = 'yes' }}"));
    assert_eq!((outcome.result.unwrap_err().len(), outcome.warnings.len()), (1, 0));
}

#[test]
fn two_services_never_share_a_user() {
    let service = |name: &str, keys: &str| {
        format!(
            "[services.{name}]\nlisten = '@{name}'\nto = '127.0.0.1:9'\nwake = {{ exec = 'a', {keys} }}\n"
        )
    };
    let strict = "sandbox = 'strict'";
    assert!(config(&(service("web", strict) + &service("db", strict))).services.len() == 2);
    // These names begin with the same number.
    assert_eq!(Account::own("s8").unwrap(), Account::own("s106").unwrap());
    let shared = "its own user would be 65364, which is the user of the service s8, too; rename one of them, or set wake.user";
    assert_eq!(
        errors(&(service("s8", strict) + &service("s106", strict))),
        [format!("d.toml:5: services.s106: {shared}")]
    );
    let named = "user = '65364', group = '65364'";
    assert_eq!(
        errors(&(service("s106", strict) + &service("s8", named))),
        [format!("d.toml:1: services.s106: {shared}")]
    );
    let grouped = "user = 'root', group = '65364'";
    assert_eq!(
        errors(&(service("s106", strict) + &service("s8", grouped))),
        [format!("d.toml:1: services.s106: {}", shared.replace("the user of", "a group of"))]
    );
    // The servers of one service have one user.
    let servers = "[[services.web.servers]]\nto = '127.0.0.1:9'\nwake = { exec = 'a', sandbox = 'strict' }\n";
    config(&format!("[services.web]\nlisten = '@a'\n{servers}{servers}"));
}
