//! Line by line, and whatever a file says.

use proptest::prelude::*;

use super::*;

fn converted(text: &str) -> Converted {
    convert("h.cfg", text, |name| (name == "PORT").then(|| "80".to_owned())).unwrap()
}

/// What is told of this line.
fn told(converted: &Converted, line: usize) -> Vec<(Kind, &str)> {
    let of_line = converted.findings.iter().filter(|finding| finding.line == line);
    of_line.map(|finding| (finding.kind, finding.why.as_str())).collect()
}

/// The listeners that a `bind` becomes.
fn bound(line: &str) -> String {
    let converted = converted(&format!("listen x\n{line}\nserver a 127.0.0.1:1\n"));
    let listen = converted.toml.lines().find_map(|line| line.strip_prefix("listen = "));
    listen.unwrap_or_default().replace('"', "")
}

/// The address that a server becomes.
fn served(address: &str) -> String {
    let converted = converted(&format!("listen x\nbind :80\nserver a {address}\n"));
    let to = converted.toml.lines().find_map(|line| line.strip_prefix("to = "));
    to.unwrap_or_default().replace('"', "")
}

#[test]
fn listeners() {
    for (line, expected) in [
        ("bind :80", "0.0.0.0:80"),
        ("bind *:80", "0.0.0.0:80"),
        ("bind ipv4@:80", "0.0.0.0:80"),
        ("bind ipv6@*:80", "[::]:80"),
        ("bind :::80", "[::]:80"),
        ("bind [::]:80 v6only", "[::]:80?v6only"),
        ("bind 192.0.2.1:80 v6only", "192.0.2.1:80"),
        ("bind ::1:80", "[::1]:80"),
        ("bind localhost:80", "127.0.0.1:80"),
        ("bind :80-82", "[0.0.0.0:80, 0.0.0.0:81, 0.0.0.0:82]"),
        ("bind /run/a.sock mode 600 user root group web", "/run/a.sock?mode=0600&owner=root&group=web"),
        ("bind unix@/run/a.sock uid 0 gid 0", "/run/a.sock?owner=0&group=0"),
        ("bind abns@name", "@name"),
        ("bind \":$PORT\"", "0.0.0.0:80"),
        // What would be open in another way than it was is not there at all.
        ("bind :443 ssl crt x.pem", ""),
        ("bind :80 accept-netscaler-cip 1", ""),
        ("bind fd@3", ""),
        ("bind quic4@:443", ""),
        ("bind web.example.com:80", ""),
        ("bind unix@relative.sock", ""),
        ("bind :0", ""),
        ("bind :99999", ""),
        ("bind :1-65535", ""),
        ("bind 224.0.0.1:80", ""),
    ] {
        assert_eq!(bound(line), expected, "{line}");
        if expected.is_empty() {
            let converted = converted(&format!("listen x\n{line}\nserver a 127.0.0.1:1\n"));
            assert!(!told(&converted, 2).is_empty(), "nothing is told of {line}");
        }
    }
}

#[test]
fn servers() {
    for (address, expected) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("192.0.2.1", "192.0.2.1:80"),
        ("192.0.2.1:+1000", "192.0.2.1:1080"),
        ("192.0.2.1:-79", "192.0.2.1:1"),
        ("192.0.2.1:-80", ""),
        ("[::1]:90", "[::1]:90"),
        ("::1:90", "[::1]:90"),
        ("[::1]", "[::1]:80"),
        ("ipv4@192.0.2.1:1", "192.0.2.1:1"),
        ("web.example.com:80", "web.example.com:80"),
        ("/run/a.sock", "/run/a.sock"),
        ("unix@/run/a.sock", "/run/a.sock"),
        ("abnsz@a", "@a"),
        ("abns@a", ""),
        ("fd@3", ""),
        ("0.0.0.0:80", ""),
        ("127.0.0.1:8080 ssl verify none", ""),
        ("127.0.0.1:8080 socks4 127.0.0.1:1080", ""),
    ] {
        assert_eq!(served(address), expected, "{address}");
    }
}

#[test]
fn each_line_that_is_left_out_is_told_at_its_place() {
    let text = "defaults\n mode tcp\n timeout http-request 5s\n timeout nothing 5s\n timeout client never\n\
                listen x\n bind :80 shiny\n server a 127.0.0.1:1 check inter\n bogus 1\n server 'b\n option bogus\n\
                .if 1\n bind :81\n.endif\n balance url_param x\n maxconn many\n";
    let converted = converted(text);
    let lines: Vec<_> =
        converted.findings.iter().map(|finding| (finding.line, finding.kind == Kind::Left)).collect();
    assert_eq!(
        lines,
        [
            (3, false),
            (4, true),
            (5, true),
            (7, true),
            (8, true),
            (9, true),
            (10, true),
            (11, true),
            (12, true),
            (15, true),
            (16, true),
        ]
    );
    assert!(converted.toml.contains("listen = \"0.0.0.0:80\"\n"));
    assert!(!converted.is_complete());
}

#[test]
fn defaults_are_inherited_by_name_and_by_order() {
    let text = "defaults a\n mode tcp\n timeout connect 1s\ndefaults b from a\n timeout client 2s\n\
                defaults\n timeout connect 3s\n\
                listen x from b\n bind :1\n server s 127.0.0.1:11\n\
                listen y\n bind :2\n server s 127.0.0.1:12\n\
                listen z from nowhere\n bind :3\n server s 127.0.0.1:13\n";
    let converted = converted(text);
    let timeouts: Vec<_> = converted.toml.lines().filter(|line| line.starts_with("timeout")).collect();
    assert_eq!(
        timeouts,
        ["timeout = { connect = \"1s\", client = \"2s\" }", "timeout = { connect = \"3s\" }"]
    );
    assert_eq!(told(&converted, 14), [(Kind::Left, "there are no defaults nowhere")]);
}

#[test]
fn what_was_closed_stays_closed() {
    for rule in [
        "connection reject",
        "connection reject if { src 10.0.0.1 }",
        "content silent-drop if FALSE",
        "session reject if TRUE",
    ] {
        for place in [
            "listen x\n RULE\n bind :80\n server a 127.0.0.1:1\n",
            "defaults d\n tcp-request RULE\nlisten x from d\n bind :80\n server a 127.0.0.1:1\n",
            "frontend x\n bind :80\n default_backend y\nbackend y\n RULE\n server a 127.0.0.1:1\n",
        ] {
            let text =
                place.replace("tcp-request RULE", "RULE").replace("RULE", &format!("tcp-request {rule}"));
            let converted = converted(&text);
            assert!(converted.toml.contains("# [services.x]\n"), "{text}\n{}", converted.toml);
            assert!(
                converted.toml.lines().all(|line| line.is_empty() || line.starts_with('#')),
                "{}",
                converted.toml
            );
            assert!(!converted.is_complete());
        }
    }
}

#[test]
fn names_are_such_that_a_service_can_have_them_and_differ() {
    let converted = converted(
        "listen a:b\n bind :1\n server x 127.0.0.1:11\nlisten a_b\n bind :2\n server x 127.0.0.1:12\n\
                               listen .c\n bind :3\n server x 127.0.0.1:13\nlisten a.b\n bind :4\n server x 127.0.0.1:14\n",
    );
    let names: Vec<_> = converted.toml.lines().filter(|line| line.starts_with("[services.")).collect();
    assert_eq!(names, ["[services.a_b]", "[services.a_b-2]", "[services.\"_.c\"]", "[services.\"a.b\"]"]);
}

#[test]
fn a_limit_for_all_together_is_told_when_there_are_several() {
    let one = "global\n maxconn 10\nlisten a\n bind :1\n server x 127.0.0.1:11\n";
    assert_eq!(told(&converted(one), 2), []);
    let two = format!("{one}listen b\n bind :2\n server x 127.0.0.1:12\n");
    assert_eq!(told(&converted(&two), 2).len(), 1);
}

/// Something like a configuration.
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

/// The result is a file that the program reads, or one without services; every finding is one line.
fn holds(text: &str) {
    let Ok(converted) = convert("h.cfg", text, |name| (name == "PORT").then(|| "80".to_owned())) else {
        return;
    };
    for finding in &converted.findings {
        let line = finding.shown("h.cfg").to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(finding.line <= finding.last && finding.last <= text.lines().count());
    }
    let parsed = toml::de::DeTable::parse(&converted.toml);
    assert!(parsed.is_ok(), "{:?} in\n{}", parsed.err(), converted.toml);
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        holds(&text);
        holds(&format!("listen {text}\n{text}\nbind {text}\nserver {text}\n"));
    }

    #[test]
    fn anything_like_a_configuration_is_answered(text in document()) {
        holds(&text);
    }
}
