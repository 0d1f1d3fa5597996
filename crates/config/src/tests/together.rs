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

#[test]
fn services_of_one_workload_agree_on_its_start_and_stop() {
    let two = |first: &str, second: &str| {
        format!(
            "[services.game]\nlisten = '127.0.0.1:80'\nto = '127.0.0.1:81'\nwake.unit = 'x'\n{first}\n\
             [services.rcon]\nlisten = '127.0.0.1:82'\nto = '127.0.0.1:83'\nwake.unit = 'x.service'\n{second}\n"
        )
    };
    let said = "both have the same workload, unit x.service; set both to the same value";
    for (first, second, expected) in [
        (
            "ready = 'notify'",
            "",
            format!("d.toml:5: services.game.ready: differs from ready of rcon (d.toml:6), but {said}"),
        ),
        (
            "wake.start_timeout = '1s'",
            "wake.start_timeout = '2s'",
            format!(
                "d.toml:10: services.rcon.wake.start_timeout: differs from wake.start_timeout of game (d.toml:5), but {said}"
            ),
        ),
        (
            "",
            "wake.stop_timeout = '1s'",
            format!(
                "d.toml:10: services.rcon.wake.stop_timeout: differs from wake.stop_timeout of game (d.toml:1), but {said}"
            ),
        ),
        (
            "",
            "wake.stop_foreign = true",
            format!(
                "d.toml:10: services.rcon.wake.stop_foreign: differs from wake.stop_foreign of game (d.toml:1), but {said}"
            ),
        ),
    ] {
        assert_eq!(errors(&two(first, second)), [expected]);
    }
    // The idle times add up, and everything else is the service's own.
    for (first, second) in [
        ("idle = '1h'", "idle = '5min'"),
        ("hold.timeout = '5s'", ""),
        ("", "maxconn = 5"),
        ("wake.allow = ['10.0.0.0/8']", ""),
    ] {
        config(&two(first, second));
    }
    let other = two("ready = 'notify'", "").replace("x.service", "y.service");
    config(&other);
}

#[test]
fn a_container_of_two_services_has_a_named_engine_in_both_or_in_neither() {
    let two = |first: &str, second: &str| {
        let service = |name: &str, port: u16, engine: &str| {
            format!(
                "[services.{name}]\nlisten = '127.0.0.1:{port}'\nto = '127.0.0.1:{}'\nwake = {{ container = 'x'{engine} }}\n",
                port + 1
            )
        };
        let text = service("game", 80, first) + &service("rcon", 82, second);
        lines(&outcome(&text).warnings)
    };
    let engine = |path: &str| format!(", engine = '{path}'");
    let (docker, podman) = (engine("/run/docker.sock"), engine("/run/podman/podman.sock"));
    for (first, second) in [("", ""), (&docker, &engine("/var/run/docker.sock")), (&docker, &podman)] {
        assert_eq!(two(first, second), [""; 0]);
    }
    let said = "d.toml:5: services.rcon: game (d.toml:1) has a container x, too, and only one of them names its engine, so each \
                is woken and stopped by itself; set wake.engine in both, to the same value if it is one container";
    assert_eq!(two("", &docker), [said]);
    assert_eq!(two(&docker, ""), [said]);
}
