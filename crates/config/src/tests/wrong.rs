//! Invalid files, with the full text of each message.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_invalid_file_is_reported_with_a_remedy() {
    for (text, expected) in [
        ("", "d.toml: no service is configured; add for example [services.web] with listen and to"),
        (
            "services = 1",
            "d.toml:1: services: takes a table for each service, not a number; write [services.web]",
        ),
        (
            "[services]\nweb = 1",
            "d.toml:2: services.web: takes a table, not a number; for example [services.web]",
        ),
        (
            "[services.'a b']\nlisten = '@a'\nto = '@b'",
            "d.toml:1: services.\"a b\": \"a b\" is not a valid name; use 1 to 64 letters, digits, '-', '_' and '.'",
        ),
        ("[servces.web]", "d.toml:1: servces: unknown key; did you mean services?"),
        (
            "log_level = 'loud'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: log_level: \"loud\": not a log level; write err, warning, notice, info or debug",
        ),
        (
            "control = '127.0.0.1:5'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: control: \"127.0.0.1:5\": not the path of a UNIX socket; write unix:/run/dormouse/control.sock?mode=0600, or none",
        ),
        (
            "control = 'unix:@a'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: control: \"unix:@a\": an abstract socket is open to all users of this machine; write a path, such as unix:/run/dormouse/control.sock?mode=0600, or none",
        ),
        (
            "control = '/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: control: \"/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"…: path has 115 bytes; a UNIX socket's path has at most 107",
        ),
        (
            "http_hosts = 'a.example:80'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: http_hosts: \"a.example:80\": not a host; write a name or an address without a port, such as status.example.org",
        ),
        (
            "http = '9180'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: http: \"9180\": not an address with a port; write 127.0.0.1:9180, or none",
        ),
        (
            "[services.web]\nlisten='@a'\nto='@b'\ncontrol = '/run/c.sock'",
            "d.toml:4: services.web.control: unknown key; it belongs above the first [services…] table",
        ),
        (
            "[services.web]\nlisten='@a'\nto='@b'\nlog = 'json'",
            "d.toml:4: services.web.log: unknown key; it belongs above the first [services…] table",
        ),
        (
            "log = 'xml'\n[services.web]\nlisten='@a'\nto='@b'",
            "d.toml:1: log: takes \"text\", \"tcplog\" or \"json\", not \"xml\"; for example log = \"tcplog\"",
        ),
        (
            "[services.web]\nto = '@b'",
            "d.toml:1: services.web: listen is missing; for example listen = \"127.0.0.1:8080\"",
        ),
        (
            "[services.web]\nlisten = '@b'",
            "d.toml:1: services.web: to is missing; for example to = \"127.0.0.1:9000\"",
        ),
        (
            "[services.web]\nlisten = []\nto = '@b'",
            "d.toml:2: services.web.listen: is empty; for example listen = \"127.0.0.1:8080\"",
        ),
        (
            "[services.web]\nlisten = ['@a',\n80]\nto = '@b'",
            "d.toml:3: services.web.listen: takes a string or a list of strings, not a number; for example listen = \"127.0.0.1:8080\"",
        ),
        (
            "[services.web]\nlisten = '8080'\nto = '@b'",
            "d.toml:2: services.web.listen: \"8080\": address is missing; write 127.0.0.1:8080, or *:8080 for all addresses",
        ),
        (
            "[services.web]\nlisten = 'fd:'\nto = '@b'",
            "d.toml:2: services.web.listen: \"fd:\": fd: must be followed by the FileDescriptorName= of a socket unit, without ':'",
        ),
        (
            "[services.web]\nlisten = ['@a', '@a']\nto = '@b'",
            "d.toml:2: services.web.listen: \"@a\" is given twice; remove one",
        ),
        (
            "[services.web]\nlisten = '*:80'\nto = '127.0.0.1:80'",
            "d.toml:2: services.web.listen: is also the address of a server (127.0.0.1:80), so that dormouse would connect to itself; choose another address",
        ),
        (
            "[services.web]\nlisten = '@a'\nto = '9000'",
            "d.toml:3: services.web.to: \"9000\": 9000 alone is a host, not a port; did you mean 127.0.0.1:9000?",
        ),
        (
            "[services.web]\nlisten = '@a'\nto = '*:9000'",
            "d.toml:3: services.web.to: \"*:9000\": a server has one address; write 127.0.0.1:9000, or localhost:9000 for ::1 and 127.0.0.1",
        ),
        (
            "[services.web]\nlisten = '@a'\nto = ':9000'",
            "d.toml:3: services.web.to: \":9000\": a server has one address; write 127.0.0.1:9000, or localhost:9000 for ::1 and 127.0.0.1",
        ),
        (
            "[services.web]\nlisten = '@a'\nto = ['@b', '@c']\nwake.unit = 'x'",
            "d.toml:3: services.web.to: several servers cannot share a workload; write [[services.NAME.servers]], each with its own wake",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_invalid_key_of_a_service_is_reported_with_a_remedy() {
    for (keys, expected) in [
        ("hodl = {}", "services.web.hodl: unknown key; did you mean hold?"),
        ("wake.unit = 'a'\nidle.stpo = '1s'", "services.web.idle.stpo: unknown key; did you mean stop?"),
        ("hold.patience = 1", "services.web.hold.patience: unknown key; valid keys: timeout, max, overflow"),
        (
            "start_timeout = '9s'",
            "services.web.start_timeout: unknown key; it belongs in the table wake: wake = { start_timeout = \"120s\" }",
        ),
        (
            "hold.timeout = '30x'",
            "services.web.hold.timeout: \"30x\": not a time span (write for example 500ms, 30s, 1min 30s, infinity)",
        ),
        (
            "hold.timeout = true",
            "services.web.hold.timeout: takes a time span, not true or false; for example timeout = \"30s\"",
        ),
        (
            "hold.timeout = -1",
            "services.web.hold.timeout: takes a time span, not a negative number; for example timeout = \"30s\"",
        ),
        (
            "hold.timeout = 9223372036854775807",
            "services.web.hold.timeout: \"9223372036854775807\": time span is negative or too long",
        ),
        (
            "wake.stop_timeout = 18446744073710\nwake.exec = 'a'",
            "services.web.wake.stop_timeout: \"18446744073710\": time span is negative or too long",
        ),
        (
            "wake.exec = 'a'\nidle.quiet = '584543y'",
            "services.web.idle.quiet: \"584543y\": time span is negative or too long",
        ),
        (
            "hold.timeout = 1.5",
            "services.web.hold.timeout: takes a time span, not a number with a fraction; for example timeout = \"30s\"",
        ),
        (
            "hold = '30s'",
            "services.web.hold: takes a table, not \"30s\"; for example hold = { timeout = \"30s\", max = 1024 }",
        ),
        (
            "hold.max = 0",
            "services.web.hold.max: must be at least 1; to turn clients away at once, write hold.timeout = \"0\"",
        ),
        (
            "hold.max = 99999999999",
            "services.web.hold.max: takes a number from 1 to 4294967295; for example max = 1024",
        ),
        ("hold.max = '7'", "services.web.hold.max: takes a number, not \"7\"; for example max = 1024"),
        (
            "hold.overflow = 'drop'",
            "services.web.hold.overflow: takes \"refuse\" or \"queue\", not \"drop\"; for example overflow = \"queue\"",
        ),
        (
            "maxconn = 0",
            "services.web.maxconn: takes a number from 1 to 4294967295; for example maxconn = 4096",
        ),
        (
            "proxy_protocol = { version = 'v1', unique_id = true }",
            "services.web.proxy_protocol.unique_id: version 1 contains only the addresses; use version = \"v2\"",
        ),
        (
            "accept_proxy = ['10.0.0.1/8']",
            "services.web.accept_proxy: \"10.0.0.1/8\": the address has bits set after the prefix (write 10.0.0.0/8)",
        ),
        (
            "accept_proxy = 1",
            "services.web.accept_proxy: takes true or a list of addresses, not a number; for example accept_proxy = [\"10.0.0.0/8\", \"::1\"]",
        ),
        (
            "timeout.proxy_header = '1s'",
            "services.web.timeout.proxy_header: has no effect without accept_proxy; add it, or remove this setting",
        ),
        (
            "accept_proxy = true\ntimeout.proxy_header = 0",
            "services.web.timeout.proxy_header: must be greater than zero, for example 5s",
        ),
        (
            "proxy_protocol = 2",
            "services.web.proxy_protocol: takes \"v1\", \"v2\" or a table, not a number; for example proxy_protocol = \"v2\"",
        ),
        (
            "check = 'yes'",
            "services.web.check: takes true, false or a table, not \"yes\"; for example check = { inter = \"2s\", rise = 2, fall = 3 }",
        ),
        (
            "check.inter = '1ms'",
            "services.web.check.inter: must be at least 10ms, so that checks do not overload the server",
        ),
        (
            "check.error_limit = 5",
            "services.web.check.error_limit: has no effect without check.observe = \"layer4\"; add it, or remove this setting",
        ),
        ("check.iner = 5", "services.web.check.iner: unknown key; did you mean inter?"),
        ("retries = 1001", "services.web.retries: takes a number from 0 to 1000; for example retries = 3"),
        (
            "idle = '5min'",
            "services.web.idle: requires a workload; add wake = { unit = \"nginx.service\" }, or remove this setting",
        ),
        (
            "ready = 'notify'",
            "services.web.ready: requires a workload; add wake = { unit = \"nginx.service\" }, or remove this setting",
        ),
        (
            "wake = 'nginx'",
            "services.web.wake: takes a table, not \"nginx\"; for example wake = { unit = \"nginx.service\" }",
        ),
        (
            "wake = { unit = 'a', exec = 'b' }",
            "services.web.wake.exec: conflicts with wake.unit; keep only one",
        ),
        (
            "wake = { unit = 'a', directory = '/b' }",
            "services.web.wake.directory: requires wake.exec; add it, or remove this setting",
        ),
        (
            "wake = { exec = 'a', user = 'no-such-user-here' }",
            "services.web.wake.user: \"no-such-user-here\": the user does not exist; create it, or name another",
        ),
        (
            "wake = { exec = 'a', user = 'root', group = 'no-such-group' }",
            "services.web.wake.user: \"root\": the group \"no-such-group\" does not exist; create it, or name another",
        ),
        (
            "wake = { exec = 'a', user = '64321' }",
            "services.web.wake.user: \"64321\": no user has this number, so its group is not known; set the group too, for example wake.group = \"64321\"",
        ),
        (
            "wake = { exec = 'a', group = 'root' }",
            "services.web.wake.group: requires wake.user; add it, or remove this setting",
        ),
        (
            "wake = { unit = 'a', user = 'root' }",
            "services.web.wake.user: requires wake.exec; add it, or remove this setting",
        ),
        ("wake.stop = 'a'", "services.web.wake.stop: requires wake.start; add it, or remove this setting"),
        ("wake.unit = 'a@'", "services.web.wake.unit: \"a@\": a template; name an instance, a@NAME.service"),
        (
            "wake.unit = 'a b'",
            "services.web.wake.unit: \"a b\": not the name of a unit; write it as systemctl shows it",
        ),
        (
            "wake.unit = '.service'",
            "services.web.wake.unit: \".service\": not the name of a unit; write it as systemctl shows it",
        ),
        (
            "wake.unit = 'a.scope'",
            "services.web.wake.unit: \"a.scope\": a scope unit cannot be started; name a service",
        ),
        (
            "wake = { unit = 'a', manager = 'me' }",
            "services.web.wake.manager: takes \"system\" or \"user\", not \"me\"; for example manager = \"system\"",
        ),
        (
            "wake.container = '/a'",
            "services.web.wake.container: \"/a\": not the name of a container; write it as podman ps shows it",
        ),
        (
            "wake = { container = 'a', engine = 'tcp://x' }",
            "services.web.wake.engine: \"tcp://x\": not an absolute path; begin it with /",
        ),
        ("wake.exec = ''", "services.web.wake.exec: \"\": does not name a program"),
        (
            "wake.exec = []",
            "services.web.wake.exec: does not name a program; for example exec = \"python3 -m http.server --bind 127.0.0.1 9000\"",
        ),
        (
            "wake.exec = ['a', 1]",
            "services.web.wake.exec: takes a command: a string or a list of strings, not a number; for example exec = \"python3 -m http.server --bind 127.0.0.1 9000\"",
        ),
        (
            "wake.exec = ['a', \"\\u0000\"]",
            "services.web.wake.exec: contains a zero byte, which cannot be passed to a program",
        ),
        (
            "wake.exec = 'a | b'",
            "services.web.wake.exec: \"a | b\": '|' needs a shell, and none runs; put it in quotes, or use sh -c '…'",
        ),
        (
            "wake = { exec = 'a', environment = { A = 1 } }",
            "services.web.wake.environment.A: takes a string, not a number; for example A = \"1\"",
        ),
        (
            "wake = { start = 'a', stop = 'b', freeze = 'c' }",
            "services.web.wake.freeze: requires wake.thaw; add it, or remove this setting",
        ),
        (
            "wake.wol = 'aa:bb'",
            "services.web.wake.wol: \"aa:bb\": not a hardware address; write for example aa:bb:cc:dd:ee:ff",
        ),
        (
            "wake.wol = 'aa:bb:cc:dd:ee:ff'\nidle.freeze = '1s'",
            "services.web.idle.freeze: a machine cannot be frozen over the network",
        ),
        (
            "wake = { unit = 'a', allow = ['10.1.2.3/8'] }",
            "services.web.wake.allow: \"10.1.2.3/8\": the address has bits set after the prefix (write 10.0.0.0/8)",
        ),
        (
            "wake = { unit = 'a', allow = [] }",
            "services.web.wake.allow: is empty; for example allow = [\"10.0.0.0/8\", \"::1\"]",
        ),
        (
            "wake = { unit = 'a', start_timeout = 'infinity' }",
            "services.web.wake.start_timeout: must be finite; for example start_timeout = \"120s\"",
        ),
        (
            "wake = { unit = 'a', start_timeout = 0 }",
            "services.web.wake.start_timeout: must be greater than zero, for example 120s",
        ),
        (
            "wake = { unit = 'a', stop_foreign = 'yes' }",
            "services.web.wake.stop_foreign: takes true or false, not \"yes\"; for example stop_foreign = true",
        ),
        (
            "wake.unit = 'a'\nready = 'healthy'",
            "services.web.ready: healthy requires a container; add wake.container = \"NAME\", or use connect",
        ),
        (
            "wake.container = 'a'\nready = 'notify'",
            "services.web.ready: containers do not notify; use healthy (the health check) or connect",
        ),
        (
            "wake = { start = 'a' }\nready = 'notify'",
            "services.web.ready: commands do not notify; use connect, file:PATH or command:COMMAND",
        ),
        (
            "wake.unit = 'a'\nready = 'soon'",
            "services.web.ready: \"soon\": write connect, notify, healthy, file:PATH, command:COMMAND or expect:TEXT",
        ),
        (
            "wake.unit = 'a'\nready = { file = 'x' }",
            "services.web.ready.file: \"x\": not an absolute path; begin it with /",
        ),
        (
            "wake.unit = 'a'\nready = { send = 'x' }",
            "services.web.ready.send: requires expect; add for example expect = \"+PONG\"",
        ),
        (
            "wake.unit = 'a'\nready = { file = '/x', expect = 'y' }",
            "services.web.ready.expect: conflicts with ready.file; keep only one",
        ),
        (
            "wake.unit = 'a'\nready = { settle = '1s' }\nsettle = '1s'",
            "services.web.settle: is also set in ready; keep only one",
        ),
        (
            "wake.unit = 'a'\nidle = { freeze = '10min' }",
            "services.web.idle.freeze: must be less than idle.stop (5min), because a stopped workload cannot be frozen",
        ),
        (
            "wake.unit = 'a'\nidle.quiet = 0",
            "services.web.idle.quiet: must be greater than zero, for example 15min or infinity",
        ),
        (
            "wake.unit = 'a'\nidle = true",
            "services.web.idle: takes a time span or a table, not true or false; for example idle = \"10min\"",
        ),
        (
            "wake.unit = 'a'\nidle.keep_warm = 'Fri'",
            "services.web.idle.keep_warm: \"Fri\": 'Fri' is not a range of times (write 08:00-18:00)",
        ),
        (
            "wake.unit = 'a'\nidle.keep_warm = '08:00-08:00'",
            "services.web.idle.keep_warm: \"08:00-08:00\": start and end are equal (write 00:00-24:00 for whole days)",
        ),
        (
            "wake.start = 'a'\nidle = '5min'",
            "services.web.idle: requires a command that stops the workload; add wake.stop",
        ),
        (
            "wake = { start = 'a', stop = 'b' }\nidle.freeze = '1s'",
            "services.web.idle.freeze: requires commands for it; add wake.freeze and wake.thaw",
        ),
        (
            "wake.unit = 'a'\nsoft = 3",
            "services.web.soft: requires several workloads, and there is only one; add another, or remove this setting",
        ),
        ("wake.unit = 'a'\nexclusive = ''", "services.web.exclusive: \"\": a group must have a name"),
    ] {
        let reported = errors(&format!("{BASE}{keys}\n"));
        let line = 3
            + keys
                .lines()
                .position(|line| {
                    let name = expected.split(": ").next().unwrap().trim_start_matches("services.web.");
                    line.starts_with(name) || line.starts_with(name.split('.').next().unwrap())
                })
                .unwrap()
            + 1;
        let expected = format!("d.toml:{line}: {expected}");
        assert_eq!(reported, [expected], "{keys}");
    }
}

#[test]
fn a_misspelt_key_or_unit_is_reported_once() {
    for (keys, expected) in [
        (
            "weak.unit = 'a'\nidle = '5min'\nready = 'notify'",
            &["d.toml:4: services.web.weak: unknown key; did you mean wake?"][..],
        ),
        (
            "wake.uint = 'a'\nidle = '5min'",
            &["d.toml:4: services.web.wake.uint: unknown key; did you mean unit?"],
        ),
        (
            "wake = { exce = 'a', directory = '/b' }",
            &["d.toml:4: services.web.wake.exce: unknown key; did you mean exec?"],
        ),
        (
            "wake.start = 'a'\nwake.stpo = 'b'\nidle = '10min'",
            &["d.toml:5: services.web.wake.stpo: unknown key; did you mean stop?"],
        ),
        (
            "wake.unit = 'a'\nidle = { stop = '10mn', freeze = '6min' }",
            &["d.toml:5: services.web.idle.stop: \"10mn\": not a time span; did you mean 10min?"],
        ),
        // The absence of another key does not follow.
        (
            "hodl = {}\nidle = '5min'",
            &[
                "d.toml:4: services.web.hodl: unknown key; did you mean hold?",
                "d.toml:5: services.web.idle: requires a workload; add wake = { unit = \"nginx.service\" }, or remove this setting",
            ],
        ),
    ] {
        assert_eq!(errors(&format!("{BASE}{keys}\n")), expected, "{keys}");
    }
    assert_eq!(
        errors("[services.web]\nlistne = '@a'\nto = '@b'"),
        ["d.toml:2: services.web.listne: unknown key; did you mean listen?"]
    );
}

#[test]
fn messages_list_the_algorithms_and_the_kinds_of_their_tables() {
    let expected = format!(
        "d.toml:4: services.web.balance: takes {}, not \"best\"; for example balance = \"leastconn\"",
        Balance::CHOICES
    );
    assert_eq!(errors(&format!("{BASE}balance = 'best'\n")), [expected]);
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| format!("wake.{}", kind.properties().key)).collect();
    let expected =
        format!("d.toml:4: services.web.wake: does not name a workload; add one of {}", kinds.join(", "));
    assert_eq!(errors(&format!("{BASE}wake.on = 'data'\n")), [expected]);
}

#[test]
fn invalid_options_of_a_listener_are_reported_with_the_valid_ones() {
    for (listen, expected) in [
        ("/a?mod=1", "\"mod\" is not an option of this kind of listener; did you mean mode?"),
        (
            "/a?v6only",
            "\"v6only\" is not an option of this kind of listener; valid options: mode, owner, group, backlog",
        ),
        (
            "*:1?",
            "\"\" is not an option of this kind of listener; valid options: v6only, freebind, interface, defer_accept, fastopen, backlog",
        ),
        ("vsock::1?mode=0660", "\"mode\" is not an option of this kind of listener; valid options: backlog"),
        ("/a?mode=999", "the mode is an octal number from 0000 to 0777; write ?mode=0660"),
        ("/a?mode=0600&mode=0660", "mode is given twice; remove one"),
        (
            "/a?owner=no-such-user",
            "the user \"no-such-user\" does not exist; write another name, or a number",
        ),
        ("/a?group=4294967295", "the group \"4294967295\" does not exist; write another name, or a number"),
        ("/a?backlog", "backlog needs a value; write ?backlog=1024"),
        ("*:1?backlog=0", "backlog takes a number from 1 to 4294967295; write ?backlog=1024"),
        ("*:1?fastopen=+1", "fastopen takes a number from 1 to 4294967295; write ?fastopen=256"),
        ("*:1?freebind=yes", "freebind takes no value; write ?freebind"),
        ("127.0.0.1:1?v6only", "v6only requires an IPv6 address; remove it"),
        (
            "*:1?interface=a/b",
            "the name of a network interface has at most 15 characters; write ?interface=eth0",
        ),
        ("*:1?defer_accept=0", "defer_accept takes a finite time above zero; write ?defer_accept=5s"),
        (
            "*:1?defer_accept=x",
            "not a time span (write for example 500ms, 30s, 1min 30s, infinity); write ?defer_accept=5s",
        ),
    ] {
        let reported = errors(&format!("[services.web]\nlisten = '{listen}'\nto = '@b'"));
        assert_eq!(reported, [format!("d.toml:2: services.web.listen: \"{listen}\": {expected}")]);
    }
}

#[test]
fn servers_of_their_own_are_checked_one_by_one() {
    let text = "[services.web]\nlisten = '@a'\nwake = { exec = 'x', on = 'data' }\nsoft = 2\n\
                [[services.web.servers]]\nname = 'a'\nto = '@b'\nwake = { exec = 'x', on = 'data' }\n\
                [[services.web.servers]]\nname = 'a'\nto = '@c'\nwake.exce = 'x'\n\
                [[services.web.servers]]\n";
    assert_eq!(
        errors(text),
        [
            "d.toml:3: services.web.wake.exec: applies to one server; set it in the wake table of its servers entry",
            "d.toml:4: services.web.soft: requires several workloads, and there is only one; add another, or remove this setting",
            "d.toml:8: services.web.servers.wake.on: applies to all servers; set it in the wake table of the service",
            "d.toml:10: services.web.servers.name: the name a is already used by another server; choose another name",
            "d.toml:12: services.web.servers.wake.exce: unknown key; did you mean exec?",
            "d.toml:13: services.web.servers: to is missing; for example to = \"127.0.0.1:9000\"",
        ]
    );
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text =
        "log_level = 'loud'\n[services.b]\nlisten = 8080\nhodl = 1\n[services.a]\nto = '@x'\nmaxconn = 0\n";
    assert_eq!(
        errors(text),
        [
            "d.toml:1: log_level: \"loud\": not a log level; write err, warning, notice, info or debug",
            "d.toml:2: services.b: to is missing; for example to = \"127.0.0.1:9000\"",
            "d.toml:3: services.b.listen: takes a string or a list of strings, not a number; for example listen = \"127.0.0.1:8080\"",
            "d.toml:4: services.b.hodl: unknown key; did you mean hold?",
            "d.toml:5: services.a: listen is missing; for example listen = \"127.0.0.1:8080\"",
            "d.toml:7: services.a.maxconn: takes a number from 1 to 4294967295; for example maxconn = 4096",
        ]
    );
}

#[test]
fn a_syntax_error_hides_only_the_errors_that_follow_from_it() {
    assert_eq!(
        errors("[services.web]\nlisten = nowhere\nto = '@b'\nhodl = 1\n"),
        [
            "d.toml:2: not TOML: strings must be in quotes; write \"nowhere\"",
            "d.toml:4: services.web.hodl: unknown key; did you mean hold?",
        ]
    );
    assert_eq!(
        errors("[services.web]\nlisten = '@a'\nlisten = '@b'\nto = '@c'\n[services.web]\n"),
        [
            "d.toml:3: services.web.listen: given twice; remove one",
            "d.toml:5: services.web: given twice; remove one"
        ]
    );
}

#[test]
fn missing_quotes_are_recognised() {
    for (value, reported) in [
        ("127.0.0.1:80", "strings must be in quotes; write \"127.0.0.1:80\""),
        ("/run/x # here", "strings must be in quotes; write \"/run/x\""),
        ("*:80", "strings must be in quotes; write \"*:80\""),
        ("5min", "strings must be in quotes; write \"5min\""),
        ("nginx.service", "strings must be in quotes; write \"nginx.service\""),
        ("True", "write true"),
        ("", "a value is missing"),
        ("[a, b]", "strings must be in quotes"),
        ("\"abc", "invalid basic string, expected `\"`"),
    ] {
        let reported = format!("d.toml:2: not TOML: {reported}");
        let errors = errors(&format!("[services.web]\nlisten = {value}\nto = '@b'"));
        assert!(errors.contains(&reported), "{value}: {errors:?}");
    }
}

#[test]
fn a_broken_table_header_hides_the_other_errors() {
    let reported = errors("[services.web\nlisten = '@a'\nhodl = 1\n");
    assert_eq!(reported, ["d.toml:1: not TOML: unclosed table, expected `]`"]);
}

#[test]
fn a_message_is_one_line_whatever_it_quotes() {
    let reported = errors("[services.web]\nlisten = \"a\\n\\u001b:80\"\nto = '@b'");
    let expected = r#"d.toml:2: services.web.listen: "a\u{a}\u{1b}:80": 'a\u{a}\u{1b}' is not an address to listen on; write an IP address, localhost or *"#;
    assert_eq!(reported, [expected]);
}
