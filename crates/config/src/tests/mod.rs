//! Invalid files and their messages; valid files and their meaning.

mod defaults;
mod layout;
mod many;
mod meant;
mod random;
mod sandbox;
mod together;
mod wrong;

use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_activate::unit::Manager;
use dormouse_activate::{ActivatorConfig, Kind};
use dormouse_core::pool::Balance;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Format;
use dormouse_relay::Limits;

use super::model::{Config, Control, Ready, ServiceConfig, WakeOn};
use super::*;
use crate::limit::AtLimit;
use crate::model::Listen;
use crate::proxy_protocol::{Additions, SendProxy, Sources};

fn outcome(text: &str) -> ReadResult {
    read(
        &[single(Path::new("d.toml"), text)],
        Environment { system_units: true, programs: ProgramUser::Root },
    )
}

fn config(text: &str) -> Config {
    match outcome(text).result {
        Ok(config) => config,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// Returns the only service, with the required keys and these.
fn service(keys: &str) -> ServiceConfig {
    let [service] = config(&format!("{BASE}{keys}")).services.try_into().unwrap();
    service
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn errors(text: &str) -> Vec<String> {
    lines(&outcome(text).result.expect_err(text))
}

const BASE: &str = "[services.web]\nlisten = '127.0.0.1:80'\nto = '127.0.0.1:81'\n";
const WOKEN: &str = "wake.unit = 'x'\n";

#[test]
fn problems_that_do_not_prevent_a_start_are_warnings() {
    for (keys, expected) in [
        (
            "exclusive = 'gpu'\n",
            "d.toml:5: services.web.exclusive: the group gpu has no other member; check its spelling, or remove this setting",
        ),
        (
            "idle.keep_warm = '00:00-24:00'\n",
            "d.toml:5: services.web.idle.keep_warm: covers the whole week, so that the workload never stops; write idle.stop = \"infinity\" instead",
        ),
    ] {
        let outcome = outcome(&format!("{BASE}{WOKEN}{keys}"));
        assert_eq!(lines(&outcome.warnings), [expected]);
        assert!(outcome.result.is_ok());
    }
}

#[test]
fn a_service_without_keys_has_the_documented_defaults() {
    let service = service(WOKEN);
    assert_eq!(service.ready, Ready::Connect);
    assert_eq!(service.hold.timeout, TimeSpan::from_secs(30));
    assert_eq!((service.hold.max.get(), service.hold.overflow), (1024, AtLimit::Refuse));
    assert_eq!(service.idle.stop, Some(Duration::from_secs(300)));
    assert_eq!((service.idle.freeze, service.idle.quiet), (None, None));
    assert_eq!(service.idle.minimum_uptime, Duration::from_secs(60));
    assert_eq!((service.waking.on, service.waking.allow.is_none()), (WakeOn::Connect, true));
    assert_eq!(service.waking.start_timeout, Duration::from_secs(120));
    assert_eq!(service.waking.stop_timeout, Duration::from_secs(10));
    assert!(service.replay && !service.waking.stop_foreign);
    assert_eq!((service.maxconn.get(), service.at_limit), (4096, AtLimit::Queue));
    assert_eq!(service.timeouts.connect, Some(Duration::from_secs(5)));
    let limits = Limits { half_close: Some(Duration::from_secs(60)), ..Limits::default() };
    assert_eq!(service.timeouts.limits, limits);
    assert_eq!((service.accept_proxy, service.proxy_protocol), (None, None));
}

#[test]
fn short_and_long_forms_are_equal() {
    let stop = |keys: &str| service(&format!("{WOKEN}{keys}")).idle.stop;
    assert_eq!(stop("idle = '10min'"), stop("idle.stop = 600"));
    assert_eq!(stop("idle = 'infinity'"), None);
    let uptime = |keys: &str| service(&format!("{WOKEN}{keys}")).idle.minimum_uptime.as_secs();
    assert_eq!(
        (uptime("idle = '30s'"), uptime("idle.freeze = '20s'"), uptime("idle = 'infinity'")),
        (30, 20, 60)
    );
    assert_eq!(uptime("idle = { stop = '30s', minimum_uptime = '2min' }"), 120);
    let ready = |keys: &str| service(&format!("{WOKEN}{keys}")).ready;
    assert_eq!(ready("ready = 'file:/x'"), ready("ready.file = '/x'"));
    assert_eq!(ready("ready = 'command:a b'"), ready("ready.command = ['a', 'b']"));
    assert_eq!(ready("ready = 'expect:x'"), ready("ready = { expect = 'x' }"));
    assert_eq!(service(&format!("{WOKEN}ready = {{ settle = '1s' }}")).settle, Duration::from_secs(1));
}

#[test]
fn activators_report_the_readiness_that_ready_needs() {
    let wake = |keys: &str| service(keys).servers[0].wake.clone().unwrap();
    assert!(matches!(wake("wake.exec = 'a'\nready = 'notify'"), ActivatorConfig::Exec(exec) if exec.notify));
    assert!(
        matches!(wake("wake.container = 'a'\nready = 'healthy'"), ActivatorConfig::Container(it) if it.healthy)
    );
    assert!(
        matches!(wake(WOKEN), ActivatorConfig::Unit(unit) if unit.name == "x.service" && unit.manager == Manager::System)
    );
    let as_user = read(
        &[single(Path::new("d"), &format!("{BASE}{WOKEN}"))],
        Environment { system_units: false, programs: ProgramUser::Other },
    );
    let server = &as_user.result.unwrap().services[0].servers[0];
    assert!(matches!(&server.wake, Some(ActivatorConfig::Unit(unit)) if unit.manager == Manager::User));
    assert!(
        matches!(wake("wake.wol = 'AA-bb-cc-dd-ee-0f'"), ActivatorConfig::WakeOnLan(it) if it.mac[5] == 15 && it.broadcast.port() == 9)
    );
}

#[test]
fn a_workload_that_cannot_be_stopped_has_no_idle_stop() {
    assert_eq!(service("wake.start = 'a'").idle.stop, None);
    assert_eq!(service("").idle.stop, None);
}

#[test]
fn the_checks_of_a_service_apply_to_servers_without_their_own() {
    let text = "[services.web]\nlisten = '@a'\nhold.max = 7\ncheck = { inter = '1s', fall = 1, observe = 'layer4' }\n\
                [[services.web.servers]]\nto = '@b'\nweight = 0\nmaxconn = 5\n\
                [[services.web.servers]]\nto = '@c'\ncheck = false\nbackup = true\ndisabled = true\n\
                [[services.web.servers]]\nto = '@d'\nwake.exec = 'x'\n";
    let config = config(text);
    let service = &config.services[0];
    assert_eq!(
        (service.balance, service.queue.max.get(), service.retries),
        (Balance::First { soft: None }, 7, 3)
    );
    let [first, second, third] = service.servers.as_slice() else { panic!() };
    let check = first.check.as_ref().unwrap();
    assert_eq!(check.rules.fastinter.as_secs() + check.timeout.as_secs(), 2);
    assert_eq!((check.rules.fall.get(), check.rules.rise.get(), check.rules.passive), (1, 2, false));
    assert!(check.rules.observe.is_some_and(|observe| observe.error_limit.get() == 10));
    assert_eq!((first.weight, first.maxconn.map(NonZeroU32::get)), (0, Some(5)));
    assert!(second.check.is_none() && second.backup && second.disabled);
    assert!(third.check.as_ref().unwrap().rules.passive);
}

#[test]
fn a_plain_server_has_no_rules() {
    assert!(!service("").servers[0].has_rules());
    assert!(service("check = true").servers[0].has_rules());
    assert!(service("check = { passive = true }").servers[0].check.as_ref().unwrap().rules.passive);
    assert_eq!(service("").balance, Balance::RoundRobin);
    assert_eq!(service("balance = 'source'").balance, Balance::Source);
}

#[test]
fn options_follow_the_address_of_a_listener() {
    let text = "[services.web]\nto = '@x'\nlisten = ['/run/s?mode=0660&owner=root&group=7&backlog=9', \
                '[::]:80?v6only', '0.0.0.0:80', '*:81?interface=eth0&freebind', '*:81?interface=eth1', \
                '127.0.0.1:82?defer_accept=90&fastopen=5', 'vsock::83?backlog=3', '@abstract?backlog=3']";
    let listen = config(text).services.remove(0).listen;
    let written: Vec<_> = listen.iter().map(ToString::to_string).collect();
    assert_eq!(
        written,
        [
            "/run/s?mode=0660&owner=root&group=7&backlog=9",
            "[::]:80?v6only",
            "0.0.0.0:80",
            "*:81?freebind&interface=eth0",
            "*:81?interface=eth1",
            "127.0.0.1:82?defer_accept=1min 30s&fastopen=5",
            "vsock::83?backlog=3",
            "@abstract?backlog=3",
        ]
    );
    let Listen::Open { options, .. } = &listen[0] else { panic!("{listen:?}") };
    let ids = |owner: &Option<listen_options::Owner>| owner.as_ref().map(|owner| owner.id);
    assert_eq!((ids(&options.file.owner), ids(&options.file.group)), (Some(0), Some(7)));
    assert!(matches!(&listen[7], Listen::Open { options, .. } if options.backlog.is_none()));
}

#[test]
fn a_listener_with_v6only_does_not_conflict_with_an_ipv4_server() {
    config("[services.web]\nlisten = '[::]:80?v6only'\nto = '127.0.0.1:80'");
    errors("[services.web]\nlisten = '[::]:80?v6only'\nto = '[::1]:80'");
}

#[test]
fn proxy_headers_are_accepted_and_sent_as_configured() {
    let accept = |keys: &str| service(keys).accept_proxy;
    assert_eq!(accept("accept_proxy = false"), None);
    assert_eq!(accept("accept_proxy = true"), Some(Sources::All));
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(accept("accept_proxy = ['10.0.0.0/8', '::1']"), Some(Sources::Networks(networks)));
    let send = |keys: &str| service(&format!("proxy_protocol = {keys}")).proxy_protocol;
    let v2 = |unique_id, credentials, pass| Some(SendProxy::V2(Additions { unique_id, credentials, pass }));
    assert_eq!(send("'v1'"), Some(SendProxy::V1));
    assert_eq!(send("{ version = 'v1' }"), Some(SendProxy::V1));
    assert_eq!(send("'v2'"), v2(false, false, true));
    assert_eq!(send("{ version = 'v2' }"), send("'v2'"));
    assert_eq!(send("{ unique_id = true, credentials = true, pass = false }"), v2(true, true, false));
}

#[test]
fn a_program_that_runs_as_root_by_accident_is_a_warning() {
    let warnings = |user: &str, programs| {
        let text = format!("{BASE}wake = {{ exec = 'a'{user} }}");
        let environment = Environment { system_units: true, programs };
        lines(&read(&[single(Path::new("d.toml"), &text)], environment).warnings)
    };
    assert_eq!(
        warnings("", ProgramUser::Root),
        [
            "d.toml:4: services.web.wake.exec: runs as root, because dormouse does; set wake.user to another user, or to root if the program needs root, or write wake.sandbox = \"strict\" for a user of its own"
        ]
    );
    assert!(
        warnings("", ProgramUser::PerhapsRoot)[0].contains(": runs as root where dormouse runs as root (not")
    );
    assert!(warnings("", ProgramUser::Other).is_empty());
    for user in [", user = 'root'", ", user = '0'"] {
        assert!(warnings(user, ProgramUser::Root).is_empty());
    }
    let service = service("wake = { exec = 'a', user = '64321', group = '64322' }");
    let Some(ActivatorConfig::Exec(exec)) = &service.servers[0].wake else { panic!() };
    let account = exec.user.as_ref().unwrap();
    assert_eq!((account.identity.uid, account.identity.gid), (64_321, 64_322));
}

#[test]
fn accepting_headers_of_all_clients_is_a_warning() {
    let said = |listen: &str| {
        let text = format!("[services.web]\nlisten = '{listen}'\nto = '127.0.0.1:9'\naccept_proxy = true");
        lines(&outcome(&text).warnings)
    };
    assert_eq!(
        said("*:80"),
        [
            "d.toml:4: services.web.accept_proxy: every client that reaches *:80 can claim any address; list the addresses of the proxies: \
             accept_proxy = [\"10.0.0.0/8\"]"
        ]
    );
    assert!(said("127.0.0.1:80").is_empty() && said("/run/s").is_empty());
}

#[test]
fn listeners_that_are_wider_than_the_servers_socket_are_warnings() {
    let said = |listen: &str, to: &str, keys: &str| {
        let text = format!("[services.web]\nlisten = {listen}\nto = {to}\n{keys}\n");
        lines(&outcome(&text).warnings)
    };
    assert_eq!(
        said("'127.0.0.1:80'", "'/run/s'", ""),
        [
            "d.toml:2: services.web.listen: 127.0.0.1:80: every client that reaches it gets the rights of dormouse's \
             user at /run/s; listen on a UNIX socket with peer_credentials = \"pass\", or write peer_credentials = \
             \"own\" if the server does not decide by the user"
        ]
    );
    assert_eq!(said("['*:80', 'vsock::80', '/run/l']", "['127.0.0.1:9', '@s']", "").len(), 2);
    assert_eq!(said("'127.0.0.1:80'", "'/run/s'", "peer_credentials = 'own'"), [""; 0]);
    assert_eq!(said("'127.0.0.1:80'", "'127.0.0.1:81'", ""), [""; 0]);
    assert_eq!(said("'/run/l?mode=0666'", "'@s'", ""), [""; 0]);
    assert_eq!(said("'@l'", "'/run/s'", "peer_credentials = 'pass'"), [""; 0]);
}

#[test]
fn credentials_are_passed_between_unix_sockets_only() {
    let read = |listen: &str, to: &str| {
        let text = format!("[services.web]\nlisten = '{listen}'\nto = '{to}'\npeer_credentials = 'pass'\n");
        outcome(&text).result.map_err(|problems| lines(&problems))
    };
    for (listen, to) in [("/run/a", "/run/b"), ("@a", "@b"), ("fd:a", "/run/b")] {
        let service = read(listen, to).unwrap().services.remove(0);
        assert_eq!(service.peer_credentials, model::PeerCredentials::Pass, "{listen} {to}");
    }
    assert_eq!(
        read("*:80", "dns:a:80").unwrap_err(),
        [
            "d.toml:4: services.web.peer_credentials: the clients of *:80 have no user; keep only UNIX sockets in \
             listen, or write own",
            "d.toml:4: services.web.peer_credentials: the server dns:a:80 does not see users; write the address of a \
             UNIX socket, or own",
        ]
    );
}

#[test]
fn timeouts_of_a_session() {
    let keys = "timeout = { client = '1s', server = 2, client_fin = 3, server_fin = 4, tunnel = 5, session = 6, \
                half_close = 0, idle = 'infinity', proxy_header = '7s' }\naccept_proxy = true";
    let timeouts = service(keys).timeouts;
    let seconds = |number| Some(Duration::from_secs(number));
    let limits = Limits {
        client: seconds(1),
        server: seconds(2),
        client_fin: seconds(3),
        server_fin: seconds(4),
        tunnel: seconds(5),
        session: seconds(6),
        ..Limits::default()
    };
    assert_eq!((timeouts.limits, Some(timeouts.proxy_header)), (limits, seconds(7)));
}

#[test]
fn a_listener_that_another_one_of_the_service_covers_is_removed() {
    let text = "[services.web]\nlisten = ['0.0.0.0:80', '[::]:80', '127.0.0.1:81']\nto = '@x'";
    let listen: Vec<_> = config(text).services[0].listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["*:80", "127.0.0.1:81"]);
}

#[test]
fn the_shipped_example_is_valid() {
    let config = config(include_str!("../../../../docs/examples/dormouse.toml"));
    let names: Vec<_> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "web", "wiki", "cache", "desktop", "files", "chat", "draw", "workers", "database", "postgres",
            "api"
        ]
    );
    assert!(outcome(include_str!("../../../../docs/examples/dormouse.toml")).warnings.is_empty());
}

#[test]
fn each_kind_of_activator_has_its_keys() {
    let wake = keys::find("wake").unwrap().manual;
    for properties in Kind::ALL.iter().map(|kind| kind.properties()) {
        for name in [properties.key].iter().chain(properties.options) {
            let path = format!("wake.{name}");
            assert!(keys::find(&path).is_some(), "{path} is no key");
        }
        assert!(wake.contains(properties.key), "the description of wake lacks {}", properties.key);
    }
}

/// Returns the key that selects the kind of activator to which this key belongs.
fn kind_of(key: &keys::Key) -> Option<&'static keys::Key> {
    let mut kinds = Kind::ALL.iter().map(|kind| kind.properties());
    let kind = kinds.find(|kind| key.table() == "wake" && kind.options.contains(&key.name()))?;
    keys::find(&format!("wake.{}", kind.key))
}

#[test]
fn each_defined_key_is_read() {
    // The reader of each key reports a value of a type that no key accepts.
    for key in keys::SERVICE.iter().filter(|key| !key.path.starts_with("servers")) {
        let base = BASE.lines().filter(|line| !line.starts_with(&format!("{} =", key.path)));
        let kind = kind_of(key).map(|kind| format!("{} = {}\n", kind.path, kind.example)).unwrap_or_default();
        let base: Vec<_> = base.collect();
        let said = errors(&format!("{}\n{kind}{} = 1979-05-27\n", base.join("\n"), key.path));
        assert!(said.iter().any(|line| line.contains("a date or time")), "{}: {said:?}", key.path);
    }
    for key in keys::SERVICE.iter().filter(|key| key.table() == "servers") {
        let text =
            format!("[services.web]\nlisten = '@a'\n[[services.web.servers]]\n{} = 1979-05-27\n", key.name());
        assert!(errors(&text).iter().any(|line| line.contains("a date or time")), "{}", key.path);
    }
}

#[test]
fn the_control_socket_and_the_web_server_are_top_level_keys() {
    let all = "control = 'unix:/run/d/c?mode=0660'\nhttp = '[::1]:9180'\nlog = 'json'\n";
    let admin = config(&format!("{all}{BASE}")).admin;
    let Control::At { address, options } = &admin.control else { panic!("{admin:?}") };
    assert_eq!((address.to_string().as_str(), options.file.mode), ("/run/d/c", Some(0o660)));
    assert_eq!(admin.http, "[::1]:9180".parse().ok());
    assert_eq!(admin.format, Format::Json);
    assert_eq!(config(BASE).admin, AdminConfig::default());
    assert_eq!(config(&format!("control = 'none'\n{BASE}")).admin.control, Control::Off);
    assert_eq!(config(&format!("http = 'none'\n{BASE}")).admin.http, None);
    let open = outcome(&format!("http = '0.0.0.0:9180'\n{BASE}"));
    let [password, hosts] = lines(&open.warnings).try_into().unwrap();
    assert!(password.contains("without a password"), "{password}");
    assert!(hosts.ends_with("allow names with http_hosts = \"status.example.org\""), "{hosts}");
    let listed =
        outcome(&format!("http = '0.0.0.0:9180'\nhttp_hosts = ['a.example', '::1', '[::2]']\n{BASE}"));
    assert_eq!(listed.warnings.len(), 1);
    let hosts: Vec<_> = listed.result.unwrap().admin.http_hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["a.example", "[::1]", "[::2]"]);
}
