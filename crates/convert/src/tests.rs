//! Conversions of single lines and small files.

use super::*;

fn converted(text: &str) -> Converted {
    convert("h.cfg", text, |name| (name == "PORT").then(|| "80".to_owned())).unwrap()
}

/// Returns the findings of a line.
fn findings_of(converted: &Converted, line: usize) -> Vec<(FindingKind, &str)> {
    let of_line = converted.findings.iter().filter(|finding| finding.line == line);
    of_line.map(|finding| (finding.kind, finding.reason.as_str())).collect()
}

/// Returns the value of `listen` for a `bind` line.
fn listen_of(line: &str) -> String {
    let converted = converted(&format!("listen x\n{line}\nserver a 127.0.0.1:1\n"));
    let listen = converted.toml.lines().find_map(|line| line.strip_prefix("listen = "));
    listen.unwrap_or_default().replace('"', "")
}

/// Returns the value of `to` for a server address.
fn to_of(address: &str) -> String {
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
        // Listeners that would accept other clients than before are omitted.
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
        assert_eq!(listen_of(line), expected, "{line}");
        if expected.is_empty() {
            let converted = converted(&format!("listen x\n{line}\nserver a 127.0.0.1:1\n"));
            assert!(!findings_of(&converted, 2).is_empty(), "no finding for {line}");
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
        ("127.0.0.1:8080 ssl no-ssl", "127.0.0.1:8080"),
        ("127.0.0.1:8080 socks4 127.0.0.1:1080", ""),
        ("127.0.0.1:8080 socks4 127.0.0.1:1080 no-ssl", ""),
    ] {
        assert_eq!(to_of(address), expected, "{address}");
    }
}

#[test]
fn each_omitted_line_has_a_finding() {
    let text = "defaults\n mode tcp\n timeout http-request 5s\n timeout nothing 5s\n timeout client never\n\
                listen x\n bind :80 shiny\n server a 127.0.0.1:1 check inter\n bogus 1\n server 'b\n option bogus\n\
                .if 1\n bind :81\n.endif\n balance url_param x\n maxconn many\n";
    let converted = converted(text);
    let lines: Vec<_> = converted
        .findings
        .iter()
        .map(|finding| (finding.line, finding.kind == FindingKind::Omitted))
        .collect();
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
        [
            "timeout = { connect = \"1s\", client = \"2s\", half_close = \"infinity\" }",
            "timeout = { connect = \"3s\", half_close = \"infinity\" }",
            "timeout = { half_close = \"infinity\" }",
        ]
    );
    assert_eq!(
        findings_of(&converted, 14),
        [(FindingKind::Omitted, "there is no defaults section named nowhere")]
    );
}

#[test]
fn a_service_with_a_reject_rule_is_commented_out() {
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
fn service_names_are_valid_and_unique() {
    let converted = converted(
        "listen a:b\n bind :1\n server x 127.0.0.1:11\nlisten a_b\n bind :2\n server x 127.0.0.1:12\n\
                               listen .c\n bind :3\n server x 127.0.0.1:13\nlisten a.b\n bind :4\n server x 127.0.0.1:14\n",
    );
    let names: Vec<_> = converted.toml.lines().filter(|line| line.starts_with("[services.")).collect();
    assert_eq!(names, ["[services.a_b]", "[services.a_b-2]", "[services.\"_.c\"]", "[services.\"a.b\"]"]);
}

#[test]
fn a_global_limit_is_reported_if_there_are_several_services() {
    let one = "global\n maxconn 10\nlisten a\n bind :1\n server x 127.0.0.1:11\n";
    assert_eq!(findings_of(&converted(one), 2), []);
    let two = format!("{one}listen b\n bind :2\n server x 127.0.0.1:12\n");
    assert_eq!(findings_of(&converted(&two), 2).len(), 1);
}

#[test]
fn the_smaller_of_the_global_and_the_own_limit_applies() {
    for (global, own, expected, is_reported) in [
        (2000, [3000, 3000], [2000, 2000], true),
        (2000, [1500, 3000], [1500, 2000], true),
        (2000, [1500, 501], [1500, 501], true),
        (2000, [1500, 500], [1500, 500], false),
        (0, [1500, 3000], [1500, 3000], false),
    ] {
        let [a, b] = own;
        let converted = converted(&format!(
            "global\n maxconn {global}\nlisten a\n bind :1\n maxconn {a}\n server x 127.0.0.1:11\n\
             listen b\n bind :2\n maxconn {b}\n server x 127.0.0.1:12\n"
        ));
        let limits: Vec<_> =
            converted.toml.lines().filter_map(|line| line.strip_prefix("maxconn = ")).collect();
        assert_eq!(limits, expected.map(|limit: u32| limit.to_string()), "{global} {own:?}");
        assert_eq!(findings_of(&converted, 2).len(), usize::from(is_reported), "{global} {own:?}");
    }
}

#[test]
fn only_a_stats_socket_with_level_admin_becomes_a_control_socket() {
    for (rest, expected) in [
        ("level admin", Some("control = \"/run/h.sock\"")),
        ("mode 600 level admin", Some("control = \"/run/h.sock?mode=0600\"")),
        ("level user", None),
        ("mode 666 level operator", None),
        ("level nobody", None),
        ("mode 660", None),
        ("", None),
    ] {
        let converted = converted(&format!(
            "global\n stats socket /run/h.sock {rest}\nlisten x\n bind :1\n server a 127.0.0.1:2\n"
        ));
        let control = converted.toml.lines().find(|line| line.starts_with("control"));
        assert_eq!(control, expected, "{rest}");
        let remedy = findings_of(&converted, 2)
            .into_iter()
            .any(|(kind, reason)| kind == FindingKind::Omitted && reason.contains("?mode="));
        assert_eq!(remedy, expected.is_none(), "{rest}");
    }
    let both = converted("global\n stats socket /a level user\n stats socket /b level admin\n");
    assert!(both.toml.contains("control = \"/b\"\n"), "{}", both.toml);
}

/// Returns the keys of a listen section with these lines and these defaults.
fn keys(defaults: &str, lines: &str) -> Vec<String> {
    let text = format!("defaults\n{defaults}\nlisten x\n bind :1\n{lines}\n");
    let converted = converted(&text).toml;
    let written = converted.lines().filter(|line| !line.starts_with('#') && line.contains(" = "));
    written.map(str::to_owned).collect()
}

#[test]
fn a_server_overrides_its_default_server() {
    let key = |defaults: &str, lines: &str, name: &str| {
        let keys = keys(defaults, lines);
        keys.into_iter().find(|line| line.starts_with(&format!("{name} = ")))
    };
    for (default, own, name) in [
        ("disabled", "enabled", "disabled"),
        ("ssl", "", "to"),
        ("backup", "no-backup", "backup"),
        ("send-proxy", "no-send-proxy", "proxy_protocol"),
    ] {
        let inherited = key(&format!(" default-server {default}"), " server a 127.0.0.1:2", name);
        let ended = key(&format!(" default-server {default}"), &format!(" server a 127.0.0.1:2 {own}"), name);
        assert_eq!((inherited.is_some(), ended), (name != "to", None), "{default} {own}");
    }
    let to = key(" default-server ssl", " server a 127.0.0.1:2 no-ssl", "to");
    assert_eq!(to.as_deref(), Some("to = \"127.0.0.1:2\""));
    let checked = |own: &str| {
        let defaults = " default-server check observe layer4 on-marked-down shutdown-sessions";
        key(defaults, &format!(" server a 127.0.0.1:2 {own}"), "check")
    };
    assert_eq!(
        checked("").as_deref(),
        Some("check = { inter = \"2s\", observe = \"layer4\", on_marked_down = \"shutdown-sessions\" }")
    );
    assert_eq!(checked("observe none on-marked-down none").as_deref(), Some("check = { inter = \"2s\" }"));
    assert_eq!(checked("no-check"), None);
}

#[test]
fn a_check_method_replaces_the_one_before() {
    let check = |option: &str| {
        let defaults = " option tcp-check\n tcp-check send ping\n tcp-check expect string pong";
        let keys = keys(defaults, &format!(" {option}\n server a 127.0.0.1:2 check"));
        keys.into_iter().find(|line| line.starts_with("check = ")).unwrap_or_default()
    };
    let (rules, connection) =
        ("check = { inter = \"2s\", send = \"ping\", expect = \"pong\" }", "check = { inter = \"2s\" }");
    for option in ["option redispatch", "option tcpka", "option tcp-check"] {
        assert_eq!(check(option), rules, "{option}");
    }
    assert!(check("option redis-check").contains("PONG"));
    for name in [
        "mysql-check",
        "httpchk",
        "smtpchk",
        "pgsql-check",
        "ldap-check",
        "ssl-hello-chk",
        "spop-check",
        "external-check",
    ] {
        assert_eq!(check(&format!("option {name}")), connection, "{name}");
    }
}

#[test]
fn a_check_that_connects_elsewhere_is_reported() {
    for (rest, is_taken) in [
        ("", true),
        ("default", true),
        ("comment ping", true),
        ("default comment ping", true),
        ("default port 25", false),
        ("comment ping port 25", false),
        ("default ssl", false),
        ("port 25", false),
        ("send-proxy", false),
    ] {
        let converted = converted(&format!(
            "listen x\n bind :1\n option tcp-check\n tcp-check connect {rest}\n tcp-check expect string 220\n \
             server a 127.0.0.1:2 check\n"
        ));
        assert_eq!(findings_of(&converted, 4).is_empty(), is_taken, "{rest}");
        assert_eq!(converted.toml.contains("expect = \"220\""), is_taken, "{rest}");
    }
}

#[test]
fn half_close_is_at_least_as_long_as_in_haproxy() {
    for (lines, expected) in [
        ("", Some("infinity")),
        ("timeout client 0\n timeout server 30s", Some("infinity")),
        ("timeout client 30s\n timeout server 0", Some("infinity")),
        ("timeout client 30s\n timeout client-fin 5s", Some("infinity")),
        ("timeout client 30s\n timeout server-fin 5s", None),
        ("timeout server 30s\n timeout client-fin 5s", None),
        ("timeout server 30s\n timeout client-fin 0", Some("infinity")),
        ("timeout client-fin 5s\n timeout server-fin 5s", None),
        ("timeout tunnel 1h", Some("1h")),
        ("timeout client 30s\n timeout server 5m", Some("5min")),
        ("timeout client 30s\n timeout server 30s", None),
    ] {
        let keys = keys("", &format!(" {lines}\n server a 127.0.0.1:2"));
        let timeouts = keys.into_iter().find(|line| line.starts_with("timeout = ")).unwrap_or_default();
        let half_close = timeouts.split_once("half_close = \"").and_then(|(_, rest)| rest.split('"').next());
        assert_eq!(half_close, expected, "{lines}: {timeouts}");
    }
}

#[test]
fn tcplog_applies_to_all_services() {
    let text =
        |more: &str| format!("defaults\n option tcplog\nlisten x\n{more} bind :1\n server a 127.0.0.1:2\n");
    let with = converted(&text(""));
    assert!(with.toml.contains("\nlog = \"tcplog\"\n") && with.is_complete(), "{}", with.toml);
    assert!(!converted(&text(" no option tcplog\n")).toml.contains("\nlog = "));
    assert!(!converted(&text(" mode http\n")).toml.contains("\nlog = "));
}

#[test]
fn settings_of_tls_and_of_the_control_socket_are_noted() {
    let text = "global\n ca-base /a\n crt-base /b\n ssl-default-bind-ciphers c\n stats timeout 30s\n\
                stats socket /run/h.sock level admin\nlisten x\n bind :80\n server a 127.0.0.1:1\n";
    let converted = converted(text);
    for line in 2..=6 {
        assert!(matches!(findings_of(&converted, line).as_slice(), [(FindingKind::Note, _)]), "{line}");
    }
    assert!(findings_of(&converted, 6)[0].1.contains("dormouse status --control=/run/h.sock"));
}

#[test]
fn defaults_in_another_mode_are_reported_also_alone() {
    let alone = converted("defaults\n mode http\n");
    assert!(matches!(findings_of(&alone, 1).as_slice(), [(FindingKind::Omitted, _)]));
    assert!(!alone.is_complete());
}
