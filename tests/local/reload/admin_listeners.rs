//! Reloads that change the admin listeners: the control socket and the web address.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Address, Failure, Family, Result, Stream, ask};

use super::load::Echo;
use super::scene::{Place, Scene};

fn get(address: &str, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).doing(|| format!("connect to {address}"))?;
    socket.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
    let words = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(words.as_bytes()).doing(|| "request a page".to_owned())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).doing(|| "read the page".to_owned())?;
    Ok(answer)
}

/// An admin client in interactive mode.
struct AdminClient(BufReader<UnixStream>);

impl AdminClient {
    fn at(control: &Path) -> Result<Self> {
        let mut socket = UnixStream::connect(control).doing(|| "connect to control".to_owned())?;
        socket.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
        socket.write_all(b"prompt\n").doing(|| "request a prompt".to_owned())?;
        Ok(Self(BufReader::new(socket)))
    }

    /// Sends `show info` and waits for the answer.
    fn expect_answer(&mut self) -> Result<()> {
        self.0.get_mut().write_all(b"show info\n").doing(|| "send the command".to_owned())?;
        let mut line = String::new();
        while !line.contains("Name: dormouse") {
            line.clear();
            if self.0.read_line(&mut line).doing(|| "read".to_owned())? == 0 {
                return Err(Failure::Unexpected("the end of the connection".to_owned()));
            }
        }
        Ok(())
    }
}

#[test]
fn admin_listeners_move_and_unchanged_ones_are_kept() {
    let (place, echo) = (Place::new(1).unwrap(), Echo::start().unwrap());
    let (first, second, http) = (place.path("first"), place.path("second"), place.port(0));
    let file = |top: &str, control: &Path| {
        format!(
            "control = {control:?}\n{top}[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n",
            echo.address
        )
    };
    let scene = Scene::new(place, &file("", &first)).unwrap();
    let session = scene.client_of("web").unwrap();
    let mut admin = AdminClient::at(&first).unwrap();
    admin.expect_answer().unwrap();
    // Add an admin listener and change the log format.
    scene.reload(&file(&format!("http = '{http}'\nlog = 'json'\n"), &first)).unwrap();
    admin.expect_answer().unwrap();
    assert!(get(&http, "/healthz").unwrap().ends_with("\r\n\r\nok\n"));
    let changed = messages::reloaded("1 unchanged, settings changed (log, http).");
    scene.wait_for_log(&format!("\"message\":\"{changed}\"")).unwrap();
    scene
        .reload(&file(&format!("http = '{http}'\nhttp_hosts = 'a.example'\nlog = 'json'\n"), &first))
        .unwrap();
    scene.wait_for_log(&messages::reloaded("1 unchanged, settings changed (http_hosts).")).unwrap();
    // Move the control socket.
    scene.reload(&file(&format!("http = '{http}'\n"), &second)).unwrap();
    assert!(ask(&second, "show info").unwrap().contains("Name: dormouse"));
    wait::until("the removal of the old socket", SOON, || Ok((!first.exists()).then_some(()))).unwrap();
    assert!(admin.expect_answer().is_err(), "the client is still served at the old socket");
    assert!(get(&http, "/healthz").unwrap().ends_with("\r\n\r\nok\n"));
    // Remove the web address.
    scene.reload(&file("", &second)).unwrap();
    wait::until("the close of the web address", SOON, || {
        Ok(TcpStream::connect(&http).is_err().then_some(()))
    })
    .unwrap();
    scene.echo(&session, "untouched").unwrap();
    scene.expect(scene.log().matches(messages::LISTENING).count() == 1, "the service was set up again");
}

#[test]
fn an_admin_listener_that_cannot_be_opened_changes_nothing() {
    let (place, echo) = (Place::new(1).unwrap(), Echo::start().unwrap());
    let taken = dormouse_tests::Listener::bind(Family::Tcp4).unwrap();
    let (first, second, new) = (place.path("first"), place.path("second"), place.port(0));
    let file = |top: &str, listen: &str| {
        format!("{top}\n[services.web]\nlisten = '{listen}'\nto = '{}'\n", echo.address)
    };
    let scene = Scene::new(place, &file(&format!("control = {first:?}"), "127.0.0.1:0")).unwrap();
    let front = scene.front("web").unwrap();
    // The web address is in use: neither the new control socket nor the new listener is opened.
    let bad = format!("control = {second:?}\nhttp = '{}'\nlog = 'json'", taken.address());
    scene.reload(&file(&bad, &new)).unwrap();
    scene.wait_for_log(messages::ADDRESS_IN_USE).unwrap();
    scene.wait_for_log(&format!("\nThe configuration {}", messages::NOT_RELOADED)).unwrap();
    assert!(!second.exists(), "the new control socket remained");
    assert!(TcpStream::connect(&new).is_err(), "the new listener remained");
    // A service's address is in use: the new control socket is closed again.
    scene.reload(&file(&format!("control = {second:?}"), &taken.address().to_string())).unwrap();
    let refused = wait::until("a second refusal", SOON, || {
        Ok((scene.log().matches(messages::NOT_RELOADED).count() == 2).then_some(()))
    });
    refused.unwrap();
    assert!(!second.exists(), "the new control socket remained");
    assert!(ask(&first, "show info").unwrap().contains("Name: dormouse"));
    scene.expect(TcpStream::connect(front).is_ok(), "the old listener is gone");
}

#[test]
fn admin_listeners_and_services_exchange_overlapping_addresses() {
    let (place, echo) = (Place::new(2).unwrap(), Echo::start().unwrap());
    let (one, two) = (place.port(0), place.port(1));
    let every = |address: &str| format!("0.0.0.0:{}", address.rsplit_once(':').unwrap().1);
    let file = |http: &str, listen: &str| {
        format!("http = '{http}'\n[services.web]\nlisten = '{listen}'\nto = '{}'\n", echo.address)
    };
    let scene = Scene::new(place, &file(&every(&one), "127.0.0.1:0")).unwrap();
    let page = |address: &str| {
        let page = get(address, "/metrics").unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
        assert!(page.starts_with("HTTP/1.1 200"), "{page}\n{}", scene.log());
    };
    let served = |address: &str| {
        let client = Stream::connect(&Address::Tcp(address.parse().unwrap()), SOON).unwrap();
        scene.echo(&client, "served").unwrap();
    };
    page(&one);
    for http in [one.clone(), every(&one)] {
        scene.reload(&file(&http, "127.0.0.1:0")).unwrap();
        page(&one);
    }
    // A service takes the web address, then both exchange their addresses.
    scene.reload(&file(&two, &one)).unwrap();
    page(&two);
    served(&one);
    scene.reload(&file(&one, &two)).unwrap();
    page(&one);
    served(&two);
    // A failed reload restores both.
    let (elsewhere, taken) = (every(&two), dormouse_tests::Listener::bind(Family::Tcp4).unwrap());
    let bad = format!(
        "{}[services.other]\nlisten = '{}'\nto = '{}'\n",
        file(&elsewhere, &every(&one)),
        taken.address(),
        echo.address
    );
    scene.reload(&bad).unwrap();
    scene.wait_for_log(messages::NOTHING_CHANGED).unwrap();
    page(&one);
    served(&two);
    // It also restores both if it fails after they were closed: another socket listens on another address of the
    // port.
    let beside = Address::Tcp(format!("127.0.0.2:{}", two.rsplit_once(':').unwrap().1).parse().unwrap());
    let _beside = dormouse_tests::Listener::bind_at(&beside).unwrap();
    scene.reload(&file(&elsewhere, &every(&one))).unwrap();
    page(&one);
    served(&two);
}

#[test]
fn sessions_are_not_tracked_without_an_admin_listener() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let control = place.path("control");
    let file = |control: &str| {
        format!("control = '{control}'\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address)
    };
    let open = file(&control.display().to_string());
    let scene = Scene::new(place, &open).unwrap();
    let client = |words: &str| {
        let client = scene.client_of("web").unwrap();
        scene.echo(&client, words).unwrap();
        client
    };
    let before = client("known");
    scene.reload(&file("none")).unwrap();
    let between = client("unknown");
    scene.reload(&open).unwrap();
    let after = client("known again");
    let known =
        || ask(&control, "show sess").map(|text| text.lines().filter(|line| line.contains("fe=web")).count());
    assert_eq!(known().unwrap(), 2);
    // Each session is removed from the list at its end.
    scene.reload(&file("none")).unwrap();
    drop((before, between, after));
    scene.reload(&open).unwrap();
    wait::until("the end of all sessions", SOON, || {
        Ok((known()? == 0 && ask(&control, "show info")?.contains("\nCurrConns: 0\n")).then_some(()))
    })
    .unwrap();
}

#[test]
fn sessions_are_tracked_from_the_first_admin_listener_on() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let control = place.path("control");
    let file = |control: &str| {
        format!("control = '{control}'\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address)
    };
    let scene = Scene::new(place, &file("none")).unwrap();
    let before = scene.client_of("web").unwrap();
    scene.echo(&before, "unknown").unwrap();
    scene.reload(&file(&control.display().to_string())).unwrap();
    let after = scene.client_of("web").unwrap();
    scene.echo(&after, "known").unwrap();
    let known = ask(&control, "show sess").unwrap();
    assert_eq!(known.lines().filter(|line| line.contains("fe=web")).count(), 1, "{known}");
    // Both sessions are counted, also at their end.
    assert!(ask(&control, "show info").unwrap().contains("\nCurrConns: 2\n"));
    drop((before, after));
    wait::until("the end of both sessions", SOON, || {
        Ok(ask(&control, "show info")?.contains("\nCurrConns: 0\n").then_some(()))
    })
    .unwrap();
}

/// Returns a field of `show stat`.
fn stat(control: &Path, server: &str, column: &str) -> Result<String> {
    let csv = ask(control, "show stat")?;
    let (head, rows) = csv.trim_start_matches("# ").split_once('\n').unwrap_or_default();
    let row = rows.lines().find(|row| row.starts_with(&format!("web,{server},")));
    let place = head.split(',').position(|name| name == column);
    let figure = row.zip(place).and_then(|(row, place)| row.split(',').nth(place)).map(str::to_owned);
    figure.ok_or(Failure::Unexpected(csv))
}

/// Returns the number of waiting clients in `show services` and in `show stat`.
fn waiting(control: &Path) -> Result<(String, String)> {
    let services = ask(control, "show services")?;
    let line = services.lines().find(|line| line.starts_with("web "));
    let waiting = line.and_then(|line| line.split(' ').nth(4)).map(str::to_owned);
    Ok((waiting.ok_or(Failure::Unexpected(services))?, stat(control, "BACKEND", "qcur")?))
}

#[test]
fn a_session_with_a_server_does_not_count_as_waiting_after_reloads() {
    let (place, echo, other) = (Place::new(0).unwrap(), Echo::start().unwrap(), Echo::start().unwrap());
    let (control, missing) = (place.path("control"), place.path("missing"));
    let file = |control: &str, server: &str, to: &str| {
        format!(
            "control = '{control}'\nlog_level = 'info'\n[services.web]\nlisten = '127.0.0.1:0'\n\
             [[services.web.servers]]\nname = '{server}'\nto = '{to}'\n"
        )
    };
    let (echo, other) = (echo.address.to_string(), other.address.to_string());
    let scene = Scene::new(place, &file("none", "one", &echo)).unwrap();
    let before = scene.client_of("web").unwrap();
    scene.echo(&before, "unknown").unwrap();
    // The first admin listener: this session was not tracked before.
    let control_is = control.display().to_string();
    scene.reload(&file(&control_is, "one", &echo)).unwrap();
    assert_eq!(waiting(&control).unwrap(), ("0".to_owned(), "0".to_owned()));
    let known = scene.client_of("web").unwrap();
    scene.echo(&known, "known").unwrap();
    // The service no longer contains the server of these sessions.
    scene.reload(&file(&control_is, "two", &other)).unwrap();
    assert_eq!(stat(&control, "BACKEND", "scur").unwrap(), "2");
    assert_eq!(waiting(&control).unwrap(), ("0".to_owned(), "0".to_owned()));
    // A client without a server waits.
    scene.reload(&file(&control_is, "three", &missing.display().to_string())).unwrap();
    let _held = scene.client_of("web").unwrap();
    let wanted = ("1".to_owned(), "1".to_owned());
    let waits = wait::until("a waiting client", SOON, || Ok((waiting(&control)? == wanted).then_some(())));
    waits.unwrap_or_else(|failure| panic!("{failure}: {:?}", waiting(&control)));
    drop((before, known));
    let ended = wait::until("the end of the other sessions", SOON, || {
        Ok((stat(&control, "BACKEND", "scur")? == "1").then_some(()))
    });
    ended.unwrap();
    assert_eq!(waiting(&control).unwrap(), wanted);
}

#[test]
fn a_session_ended_after_a_reload_frees_its_server() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let control = place.path("control");
    let file = |control: &str, maxconn: u32| {
        format!(
            "control = '{control}'\ndrain_timeout = '100ms'\n[services.web]\nlisten = '127.0.0.1:0'\nmaxconn = \
             {maxconn}\nto = '{}'\n",
            echo.address
        )
    };
    // Each session has a log line, but no session is tracked.
    let scene = Scene::new(place, &file("none", 10)).unwrap();
    let before = scene.client_of("web").unwrap();
    scene.echo(&before, "unknown").unwrap();
    scene.reload(&file(&control.display().to_string(), 11)).unwrap();
    scene.wait_for_log(messages::OLD_SESSION_ENDED).unwrap();
    scene.is_ended(&before, SOON).unwrap();
    assert_eq!(stat(&control, "server1", "stot").unwrap(), "1");
    assert_eq!(stat(&control, "server1", "scur").unwrap(), "0");
    assert_eq!(waiting(&control).unwrap(), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn a_limit_set_by_command_survives_a_reload_and_is_not_the_system_limit() {
    let echo = Echo::start().unwrap();
    let place = Place::new(0).unwrap();
    let control = place.path("control");
    let file = |others: &str| {
        let service = |name| {
            format!("[services.{name}]\nlisten = '127.0.0.1:0'\nto = '{}'\nmaxconn = 4096\n", echo.address)
        };
        format!("control = '{}'\n{}{}{others}", control.display(), service("a"), service("b"))
    };
    let scene = Scene::new(place, &file("")).unwrap();
    let limit = |service: &str| {
        let csv = ask(&control, "show stat").unwrap();
        let line = csv.lines().find(|line| line.starts_with(&format!("{service},FRONTEND,")));
        line.and_then(|line| line.split(',').nth(6)).map(str::to_owned)
    };
    assert_eq!(limit("b").as_deref(), Some("4096"));
    ask(&control, "set maxconn frontend b 7").unwrap();

    scene.reload(&file("")).unwrap();
    assert_eq!(limit("b").as_deref(), Some("7"));
    scene.reload(&file("retries = 1\n")).unwrap();
    assert_eq!(limit("b").as_deref(), Some("4096"));
    assert!(!scene.log().contains("sessions (maxconn)"), "{}", scene.log());
}
