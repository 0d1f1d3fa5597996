//! The configuration reader accepts the keys that the converter writes.

use std::path::Path;

use dormouse_convert::convert;
use proptest::prelude::*;

/// Generates texts that resemble a configuration.
fn document() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "global",
        "defaults",
        "listen",
        "frontend",
        "backend",
        "resolvers",
        "a",
        "b",
        "from",
        "mode",
        "tcp",
        "http",
        "bind",
        ":80",
        "*:81-90",
        "[::]:82",
        "/run/x.sock",
        "abns@x",
        "server",
        "127.0.0.1:1",
        "10.0.0.1",
        "check",
        "inter",
        "2000",
        "5s",
        "0",
        "256",
        "-1",
        "default-server",
        "server-template",
        "_a._tcp.b",
        "1-5",
        "weight",
        "balance",
        "source",
        "random(3)",
        "timeout",
        "client",
        "client-fin",
        "connect",
        "option",
        "no",
        "tcp-check",
        "send",
        "expect",
        "string",
        "redis-check",
        "tcp-request",
        "connection",
        "reject",
        "accept",
        "if",
        "default_backend",
        "use_backend",
        "stats",
        "socket",
        "maxconn",
        "ssl",
        "accept-proxy",
        "send-proxy",
        "disabled",
        "\"$PORT\"",
        "\"${X-y}\"",
        "'",
        "\\",
        "#",
        ".if",
        ".endif",
        "observe",
        "layer4",
        "on-error",
        "mark-down",
        "\u{7}",
    ]);
    let line = prop::collection::vec(words, 0..7).prop_map(|words| words.join(" "));
    prop::collection::vec(line, 0..25).prop_map(|lines| lines.join("\n"))
}

/// Checks that the result is TOML with known keys, and that every finding is one line.
fn check(text: &str) {
    let Ok(converted) = convert("h.cfg", text, |name| (name == "PORT").then(|| "80".to_owned())) else {
        return;
    };
    for finding in &converted.findings {
        let line = finding.display("h.cfg").to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(finding.line <= finding.last_line && finding.last_line <= text.lines().count());
    }
    let parsed = toml::de::DeTable::parse(&converted.toml);
    assert!(parsed.is_ok(), "{:?} in\n{}", parsed.err(), converted.toml);
    let environment =
        dormouse_config::Environment { system_units: true, programs: dormouse_config::ProgramUser::Root };
    let read =
        dormouse_config::read(&[dormouse_config::single(Path::new("x.toml"), &converted.toml)], environment);
    for problem in read.result.err().unwrap_or_default() {
        let problem = problem.to_string();
        assert!(
            !problem.contains("unknown key") && !problem.contains(": takes a"),
            "{problem} in\n{}",
            converted.toml
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_converted_or_rejected(text in "\\PC{0,80}") {
        check(&text);
        check(&format!("listen {text}\n{text}\nbind {text}\nserver {text}\n"));
    }

    #[test]
    fn any_text_like_a_configuration_is_converted_or_rejected(text in document()) {
        check(&text);
    }
}
