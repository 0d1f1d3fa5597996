//! Large files: the work grows with the file, and few of many problems are reported.

use std::fmt::Write as _;

use super::*;
use crate::report::MOST_PROBLEMS;
use crate::socket_index::COMPARISONS;

/// Returns the number of lines of a message list, after a check that the last one has the number of the others.
fn reported(errors: &[String], expected: usize) {
    assert_eq!(errors.len(), MOST_PROBLEMS + 1);
    let more = format!("{} more errors; correct these first", expected - MOST_PROBLEMS);
    assert_eq!(errors.last(), Some(&more));
}

#[test]
fn few_of_many_errors_are_reported() {
    let mut unknown = BASE.to_owned();
    let mut services = String::new();
    for number in 0..100_000 {
        let _ = writeln!(unknown, "k{number} = 1");
    }
    for number in 0..1000 {
        let _ = writeln!(services, "[services.s{number}]\nlisten = '*:80'\nto = '@b'");
    }
    reported(&errors(&unknown), 100_000);
    // All but the first one.
    reported(&errors(&services), 999);
}

#[test]
fn few_of_many_warnings_are_reported() {
    let mut text = String::new();
    for number in 0..1000 {
        let _ = writeln!(
            text,
            "[services.s{number}]\nlisten = '127.0.0.1:{}'\nto = '10.0.0.1:9'\nwake.unit = 'x{number}'\nexclusive = 'g{number}'",
            number + 1
        );
    }
    let outcome = outcome(&text);
    assert!(outcome.result.is_ok());
    let warnings = lines(&outcome.warnings);
    assert_eq!(warnings.len(), MOST_PROBLEMS + 1);
    assert_eq!(warnings.last().map(String::as_str), Some("900 more warnings; correct these first"));
}

/// Returns the number of comparisons of two sockets for a configuration with this many services.
fn comparisons(services: usize, listen: impl Fn(usize) -> String) -> usize {
    let mut text = "control = '/run/c'\nhttp = '127.0.0.1:9'\n".to_owned();
    for number in 0..services {
        let _ = writeln!(text, "[services.s{number}]\nlisten = {}\nto = '@b'", listen(number));
    }
    COMPARISONS.set(0);
    config(&text);
    COMPARISONS.get()
}

#[test]
fn sockets_are_not_compared_with_all_others() {
    let many = 2000;
    for (what, listen) in [
        ("ports", (&|number: usize| format!("'127.0.0.1:{}'", number + 10)) as &dyn Fn(usize) -> String),
        ("addresses", &|number| format!("'127.1.{}.{}:80'", number / 256, number % 256)),
        ("paths", &|number| format!("['/run/s{number}', '@s{number}', 'fd:s{number}']")),
        ("any port", &|_| "'127.0.0.1:0'".to_owned()),
    ] {
        let count = comparisons(many, listen);
        // Each socket is compared with itself, within its service.
        assert!(count <= 4 * many, "{what}: {count} comparisons");
    }
}

#[test]
fn one_service_may_have_many_listeners_and_servers() {
    let list = |first: u8| {
        let addresses =
            (0..5000u32).map(|number| format!("'127.{first}.{}.{}:80'", number / 256, number % 256));
        addresses.collect::<Vec<_>>().join(", ")
    };
    COMPARISONS.set(0);
    let config = config(&format!("[services.a]\nlisten = [{}]\nto = [{}]\n", list(1), list(2)));
    assert_eq!((config.services[0].listen.len(), config.services[0].servers.len()), (5000, 5000));
    assert!(COMPARISONS.get() <= 4 * 5000, "{}", COMPARISONS.get());
}

#[test]
fn a_file_of_another_kind_has_few_errors() {
    let said = errors(&"frontend a\n    bind *:80\n".repeat(1000));
    assert_eq!(said.len(), 11, "{said:?}");
    assert_eq!(said[10], "d.toml:11: 1990 lines from here on are not TOML; correct the others first");
}

#[test]
fn a_value_without_its_end_is_one_error() {
    let rest = "to = '@b'\nhodl = { max = 1 }\n[services.b]\nlisten = ['@c', '@d']\nto = '@e'\n";
    for (value, name, closing) in [
        ("listen = [\n'@a'\n", "listen", "]"),
        ("listen = '@a'\nhold = { timeout = '30s'\n", "hold", "}"),
        ("listen = '@a'\nwake = { exec = ['a', 'b'\n", "wake", "}"),
        ("listen = \"\"\"@a\n", "listen", "\"\"\""),
        ("listen = '''@a\n", "listen", "'''"),
    ] {
        let before = value.lines().take_while(|line| !line.starts_with(name)).count();
        let expected = format!(
            "d.toml:{}: services.web.{name}: not TOML: the value has no end; add {closing}",
            before + 2
        );
        assert_eq!(errors(&format!("[services.web]\n{value}{rest}")), [expected]);
    }
}

#[test]
fn a_key_that_is_given_twice_has_its_full_name() {
    for (text, expected) in [
        (
            "[services.a]\nlisten = '@a'\nto = '@b'\n[services.a]\n",
            "d.toml:4: services.a: given twice; remove one",
        ),
        (
            "[services.a]\nlisten = '@a'\nto = '@b'\nhold = { max = 1, max = 2 }\n",
            "d.toml:4: services.a.hold.max: given twice; remove one",
        ),
        (
            "[services.a]\nlisten = '@a'\nto = '@b'\nhold.max = 1\nhold.max = 2\n",
            "d.toml:5: services.a.hold.max: given twice; remove one",
        ),
        ("[services.'a b']\nto = '@b'\nto = '@b'\n", "d.toml:3: services.'a b'.to: given twice; remove one"),
        (
            "[services.a]\nlisten = '@a'\nservers = [{ to = '@b' }, { to = '@c', to = '@d' }]\n",
            "d.toml:3: services.a.servers.to: given twice; remove one",
        ),
    ] {
        assert!(errors(text).contains(&expected.to_owned()), "{text}: {:?}", errors(text));
    }
}

#[test]
fn a_long_name_in_many_keys_is_shortened() {
    let long = "a".repeat(400_000);
    let mut text = format!("[{long}]\n");
    for number in 0..50_000 {
        let _ = writeln!(text, "k{number} = 1");
    }
    let said = errors(&text);
    assert!(said[0].len() < 300, "{}", said[0].len());
}
