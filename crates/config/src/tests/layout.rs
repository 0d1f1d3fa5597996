//! Keys in the wrong place of a file: the first is reported, and the others do not follow.

use super::*;

fn of_one_service(text: &str) -> Vec<String> {
    let source = Source { of_one_service: true, ..single(Path::new("web.toml"), text) };
    lines(&read(&[source], Environment::SYSTEM).result.expect_err(text))
}

#[test]
fn a_key_of_all_services_does_not_make_the_keys_of_one_unknown() {
    const REMEDY: &str = "but this file contains the keys of one; move";
    assert_eq!(
        of_one_service("log_level = 'debug'\nlisten = '@a'\nto = '@b'\n[wake]\nunit = 'x'\n"),
        [format!(
            "web.toml:1: log_level: applies to all services, {REMEDY} it to dormouse.toml, or write [services.web] above \
             the keys of the service"
        )]
    );
    assert_eq!(
        of_one_service("listen = '@a'\nhttp = 'none'\nto = '@b'\nlog = 'xml'\nhodl = {}\n"),
        [
            format!(
                "web.toml:2: http: applies to all services, as does log, {REMEDY} them to dormouse.toml, or write \
                 [services.web] above the keys of the service"
            ),
            "web.toml:4: log: takes \"text\", \"tcplog\" or \"json\", not \"xml\"; for example log = \"tcplog\"".to_owned(),
            "web.toml:5: hodl: unknown key; did you mean hold?".to_owned(),
        ]
    );
}

#[test]
fn keys_of_a_service_outside_of_its_table_are_reported_once() {
    for (text, expected) in [
        (
            "listen = '@a'\nto = '@b'\nwake.unit = 'x'\nidle = '5min'\n",
            &[
                "d.toml:1: listen: belongs to a service, as do to, wake, idle; write a line such as [services.web] above \
               the keys of the service",
            ][..],
        ),
        (
            "log_level = 'info'\nlisten = '@a'\n[services.a]\nto = '@b'\n",
            &["d.toml:2: listen: belongs to a service; write it below the line [services.a]"],
        ),
        (
            "[services.a]\nlisten = '@a'\nto = '@b'\nready = 'notify'\n[services.c]\nlisten = '@c'\nto = '@d'\n\
             idle = '5min'\n[wake]\nunit = 'x'\n",
            &["d.toml:9: wake: belongs to a service; write it as [services.c.wake]"],
        ),
        (
            "listen = '@a'\nto = 8080\nhodl = {}\n",
            &[
                "d.toml:1: listen: belongs to a service, as does to; write a line such as [services.web] above the keys \
                 of the service",
                "d.toml:2: to: takes a string or a list of strings, not a number; for example to = \"127.0.0.1:9000\"",
                "d.toml:3: hodl: unknown key; did you mean hold?",
            ],
        ),
    ] {
        assert_eq!(errors(text), expected, "{text}");
    }
    assert_eq!(
        errors("[web]\nlisten = '@a'\nto = 8080\n[wiki]\nto = '@b'\n"),
        [
            "d.toml:1: web: unknown key; write a service as [services.web]",
            "d.toml:3: web.to: takes a string or a list of strings, not a number; for example to = \"127.0.0.1:9000\"",
            "d.toml:4: wiki: unknown key; write a service as [services.wiki]",
        ]
    );
    assert_eq!(
        of_one_service("listen = '@a'\n[services.web]\nlisten = '@c'\nto = '@b'\n"),
        ["web.toml:1: listen: belongs to a service; write it below the line [services.web]"]
    );
}
