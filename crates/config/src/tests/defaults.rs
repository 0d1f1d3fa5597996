//! Defaults in the manual, and configurations of earlier versions.

use super::*;

/// A service that accepts the key, with the default of this key only.
fn reads(key: &keys::Key, setting: &str) -> Config {
    let name = key.name();
    let mut text = match key.table() {
        "servers" => {
            format!("[services.web]\nlisten = '@a'\n[[services.web.servers]]\nto = '@b'\n{setting}\n")
        }
        _ => "[services.web]\nlisten = '@a'\nto = '@b'\n".to_owned(),
    };
    let context = match (key.table(), name) {
        ("servers", _) => return config(&text),
        ("wake", "broadcast") => "wake.wol = 'aa:bb:cc:dd:ee:ff'\n",
        ("ready", "send") => "wake.exec = 'x'\nready.expect = 'x'\n",
        ("wake" | "idle", _) | ("", "ready" | "settle" | "idle" | "replay") => "wake.exec = 'x'\n",
        ("check", "error_limit" | "on_error") => "check.observe = 'layer4'\n",
        ("check", _) => "check.passive = false\n",
        ("proxy_protocol", _) => "proxy_protocol.credentials = true\n",
        ("timeout", "proxy_header") => "accept_proxy = true\n",
        _ => "",
    };
    text.push_str(context);
    if !context.starts_with(key.path) {
        text.push_str(setting);
        text.push('\n');
    }
    config(&text)
}

#[test]
fn each_default_in_the_manual_is_the_default_of_the_reader() {
    let mut compared = 0;
    for key in keys::SERVICE.iter().filter(|key| !key.default.is_empty()) {
        // A default in words is no TOML.
        if toml::de::DeTable::parse(&format!("key = {}", key.default)).is_err() {
            continue;
        }
        let path = if key.table() == "servers" { key.name() } else { key.path };
        assert_eq!(reads(key, &format!("{path} = {}", key.default)), reads(key, ""), "{}", key.path);
        compared += 1;
    }
    assert!(compared >= 40, "only {compared} defaults were compared");
}

#[test]
fn a_service_from_code_has_the_defaults_of_the_reader() {
    for wake in ["", WOKEN] {
        let read = service(wake);
        let built = ServiceConfig::new(read.name.clone(), read.listen.clone(), read.servers.clone());
        // Without a workload the reader removes `idle.stop`.
        let idle = model::Idle { stop: read.idle.stop, ..built.idle.clone() };
        assert_eq!(read, ServiceConfig { idle, ..built });
    }
}

#[test]
fn the_example_of_the_version_before_is_read_as_before() {
    let read = |text| {
        let outcome = outcome(text);
        // These servers have UNIX sockets behind listeners on TCP, and that version had no key for the user of a program.
        let expected = |problem: &Problem| {
            let text = problem.to_string();
            text.contains("peer_credentials") || text.contains("wake.exec: runs as root")
        };
        assert!(outcome.warnings.iter().all(expected), "{:?}", outcome.warnings);
        outcome.result.unwrap()
    };
    let old = read(include_str!("fixtures/example-before-0.1.toml"));
    assert_eq!(old.services.len(), 10);
    assert_eq!(old, read(include_str!("fixtures/example-0.1.toml")));
}
