//! Settings that conflict with each other.

use super::*;

#[test]
fn services_do_not_share_a_socket() {
    let two = |a: &str, b: &str| {
        format!("[services.a]\nlisten = '{a}'\nto = '@x'\n[services.b]\nlisten = '{b}'\nto = '@y'\n")
    };
    for (a, b, reported) in [
        ("@s", "@s", "@s is already used by service a (d.toml:2); choose another address"),
        (
            "/s?mode=0600",
            "/s",
            "/s conflicts with /s?mode=0600 of service a (d.toml:2); choose another address",
        ),
        ("fd:x", "fd:x", "fd:x is already used by service a (d.toml:2); choose another address"),
        (
            "*:80",
            "127.0.0.1:80",
            "127.0.0.1:80 conflicts with *:80 of service a (d.toml:2); choose another address",
        ),
        (
            "127.0.0.1:80",
            "0.0.0.0:80",
            "0.0.0.0:80 conflicts with 127.0.0.1:80 of service a (d.toml:2); choose another address",
        ),
    ] {
        assert_eq!(errors(&two(a, b)), [format!("d.toml:5: services.b.listen: {reported}")]);
    }
    for (a, b) in [("127.0.0.1:80", "127.0.0.2:80"), ("0.0.0.0:80", "[::1]:80"), ("*:0", "*:0"), ("@s", "/s")]
    {
        config(&two(a, b));
    }
}

#[test]
fn the_control_socket_and_the_web_server_do_not_share_a_socket_with_a_service() {
    let with = |top: &str, listen: &str| format!("{top}\n[services.a]\nlisten = '{listen}'\nto = '@x'\n");
    for (top, listen, reported) in [
        (
            "http = '127.0.0.1:8080'",
            "127.0.0.1:8080",
            "http: 127.0.0.1:8080 is already used by service a (d.toml:3); choose another address",
        ),
        (
            "http = '127.0.0.1:8080'",
            "*:8080",
            "http: 127.0.0.1:8080 conflicts with *:8080 of service a (d.toml:3); choose another address",
        ),
        (
            "control = '/run/c.sock?mode=0660'",
            "/run/c.sock",
            "control: /run/c.sock?mode=0660 conflicts with /run/c.sock of service a (d.toml:3); choose another address",
        ),
    ] {
        assert_eq!(errors(&with(top, listen)), [format!("d.toml:1: {reported}")], "{top}");
    }
    for (top, listen) in [
        ("http = '127.0.0.1:8080'", "127.0.0.2:8080"),
        ("http = '127.0.0.1:0'", "127.0.0.1:0"),
        ("control = '/run/c.sock'", "/run/d.sock"),
        ("control = 'none'", "/run/c.sock"),
    ] {
        config(&with(top, listen));
    }
}

#[test]
fn a_dns_name_uses_the_names_of_all_its_servers() {
    let two = |a: (&str, &str), b: (&str, &str)| {
        let servers = [a, b].map(|(name, to)| format!("{{ name = '{name}', to = '{to}' }}"));
        format!("[services.web]\nlisten = '@a'\nservers = [\n{}]\n", servers.join(",\n"))
    };
    let (names, one) = (("web", "dns:x:80"), ("web-1", "@b"));
    for (a, b, reported) in [
        (names, one, "web stands for several servers, one of them named web-1"),
        (one, names, "stands for several servers, one of them named web-1 as another server is"),
        (names, ("web", "srv:_y._tcp.x"), "the name web is already used by another server"),
        (("web", "dns:x:80"), ("web-32", "@b"), "web stands for several servers, one of them named web-32"),
    ] {
        let reported = format!("d.toml:5: services.web.servers.name: {reported}; choose another name");
        assert_eq!(errors(&two(a, b)), [reported]);
    }
    for other in ["web-0", "web-33", "web-1-1", "server1"] {
        config(&two(names, (other, "@b")));
    }
}
