//! Servers from SRV records under load: the records of a real DNS server change, and no request fails.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use dormouse_tests::dns::Dns;
use dormouse_tests::failure::Doing;
use dormouse_tests::process::{Launch, Running};
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Result, ask};

use super::load::{Load, Request};

const NAME: &str = "_web._tcp.example.test.";

/// Adds SRV records with the priority 10 and these ports and weights.
fn serve(dns: &Dns, servers: &[(u16, u16)]) {
    for (port, weight) in servers {
        dns.add(&format!("{NAME} 1 IN SRV 10 {weight} {port} here.example.test.")).unwrap();
    }
}

/// Replaces the SRV records. Between removal and addition dormouse queries the empty set at least once, as when an
/// administrator replaces records by hand.
fn serve_others(dns: &Dns, servers: &[(u16, u16)]) {
    dns.remove(NAME).unwrap();
    let before = dns.srv_queries().unwrap();
    // The second query shows that the answer to the first has arrived.
    wait::until("two queries", SOON, || Ok((dns.srv_queries()? >= before + 2).then_some(()))).unwrap();
    serve(dns, servers);
}

/// Starts a server that answers a request with its name and echoes all other lines.
fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            thread::spawn(move || -> std::io::Result<()> {
                let mut lines = BufReader::new(client.try_clone()?);
                let mut line = String::new();
                while lines.read_line(&mut line)? > 0 {
                    if line == "\r\n" {
                        return client.write_all(format!("{name}\n").as_bytes());
                    }
                    if !line.starts_with("GET") {
                        client.write_all(line.as_bytes())?;
                    }
                    line.clear();
                }
                Ok(())
            });
        }
    });
    port
}

/// Starts a DNS server and two servers of the service; the records contain only the first.
fn start() -> Result<(Dns, [u16; 2])> {
    let dns = Dns::start("")?;
    let [one, two] = ["one", "two"].map(server);
    dns.add("here.example.test. 60 IN A 127.0.0.1")?;
    serve(&dns, &[(one, 1)]);
    Ok((dns, [one, two]))
}

/// Starts dormouse with `_web._tcp.example.test` as the service web and these additional keys, and returns its
/// address. The control socket is `control` in the directory.
fn dormouse(dns: &Dns, dir: &TempDir, keys: &str) -> Result<(Running, SocketAddr)> {
    let file = dir.join("dormouse.toml");
    let control = dir.join("control");
    let text = format!(
        "control = \"{}\"\n[services.web]\nlisten = \"127.0.0.1:0\"\nto = \"srv:_web._tcp.example.test\"\n\
         dns = \"{}\"\n{keys}\n",
        control.display(),
        dns.address()
    );
    fs::write(&file, text).doing(|| "write the configuration".to_owned())?;
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", file.display())).start()?;
    let front = wait::until("an address", SOON, || {
        let log = dormouse.stderr().text();
        let address = log.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(address.and_then(|address| address.parse().ok()))
    });
    let front = front.map_err(|failure| dormouse.with_log(&failure))?;
    Ok((dormouse, front))
}

/// Sends a line in a session and waits for its echo.
fn assert_open(session: &mut TcpStream) {
    session.write_all(b"hello\n").unwrap();
    let mut echoed = [0; 6];
    session.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello\n");
}

fn answered_by<'a>(requests: &'a [Request], name: &str) -> Vec<&'a Request> {
    requests.iter().filter(|request| request.answer.as_deref() == Ok(name)).collect()
}

#[test]
fn no_request_fails_while_srv_records_change() {
    let (dns, [one, two]) = start().unwrap();
    let dir = TempDir::new().unwrap();
    let control = dir.join("control");
    let (dormouse, front) = dormouse(&dns, &dir, "").unwrap();
    // A client that connects before the first DNS answer waits for it.
    let mut session = TcpStream::connect(front).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    assert_open(&mut session);
    // The control socket reports the server's address from DNS.
    let answer = ask(&control, "show stat; show servers state; show services json; explain web").unwrap();
    for part in [
        format!(",127.0.0.1:{one},"),
        " 127.0.0.1 2 0 1 1 ".to_owned(),
        format!(" - {one} _web._tcp.example.test 0 0 "),
        format!("\"address\":\"127.0.0.1:{one}\""),
        format!("dormouse does not start 127.0.0.1:{one}."),
    ] {
        assert!(answer.contains(&part), "no {part} in {answer}");
    }
    let load = Load::start(front, 100);
    load.more(50).unwrap();
    serve_others(&dns, &[(one, 1), (two, 3)]);
    let joined = || Ok(dormouse.stderr().text().contains(&format!("new 127.0.0.1:{two}")).then_some(()));
    wait::until("the second server", SOON, joined).map_err(|failure| dormouse.with_log(&failure)).unwrap();
    load.more(200).unwrap();
    serve_others(&dns, &[(two, 3)]);
    let left = || Ok(dormouse.stderr().text().contains(&format!("gone 127.0.0.1:{one}")).then_some(()));
    wait::until("the removal of the first server", SOON, left)
        .map_err(|failure| dormouse.with_log(&failure))
        .unwrap();
    // Requests from before the removal may still be in flight.
    load.more(20).unwrap();
    let after = std::time::Instant::now();
    load.more(100).unwrap();
    // Sessions of the removed server continue.
    assert_open(&mut session);
    let requests = load.stop();
    let failed: Vec<_> = requests.iter().filter(|request| request.answer.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {failed:?}\n{}",
        failed.len(),
        requests.len(),
        dormouse.stderr().text()
    );
    let late: Vec<_> = requests.iter().filter(|request| request.began >= after).cloned().collect();
    assert_eq!(answered_by(&late, "two").len(), late.len());
    // The weights are three to one while both servers are present.
    let both = answered_by(&requests, "two").len().saturating_sub(late.len());
    assert!(both >= 100, "{both} requests reached the second server while both were present");
    assert_open(&mut session);
    // Requests reach the first server again after its return.
    serve_others(&dns, &[(one, 1)]);
    let back =
        wait::until("the first server's return", SOON, || Ok((get(front).unwrap() == "one").then_some(())));
    back.map_err(|failure| dormouse.with_log(&failure)).unwrap();
}

/// Returns a server's status and weight.
fn status_and_weight(control: &Path, server: &str) -> Result<(String, String)> {
    let table = ask(control, "show stat")?;
    let row = table.lines().find(|line| line.starts_with(&format!("web,{server},")));
    let field = |number| row.and_then(|row| row.split(',').nth(number)).unwrap_or_default().to_owned();
    Ok((field(17), field(18)))
}

/// Returns the name of the server that answers a request.
fn get(front: SocketAddr) -> std::io::Result<String> {
    let mut client = TcpStream::connect(front)?;
    client.set_read_timeout(Some(SOON))?;
    client.write_all(b"GET /\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// Returns the names of the servers that answer a few requests.
fn answers(front: SocketAddr) -> Vec<String> {
    (0..12).map(|_| get(front).unwrap_or_else(|error| error.to_string())).collect()
}

#[test]
fn administrative_state_belongs_to_the_slot_when_records_change() {
    let (dns, [one, two]) = start().unwrap();
    let dir = TempDir::new().unwrap();
    let control = dir.join("control");
    let (dormouse, front) =
        dormouse(&dns, &dir, "check = { inter = \"20ms\", timeout = \"10s\", fall = 1 }").unwrap();
    let is = |server: &str, status: &str, weight: &str| {
        let now = || {
            Ok((status_and_weight(&control, server)? == (status.to_owned(), weight.to_owned())).then_some(()))
        };
        let what = format!("{server} {status} of weight {weight}");
        wait::until(&what, SOON, now).map_err(|failure| dormouse.with_log(&failure)).unwrap();
    };
    is("server1-1", "UP", "1");
    is("server1-2", "MAINT", "1");

    // An administrative command on an empty slot starts neither checks nor sessions.
    assert_eq!(ask(&control, "enable server web/server1-2").unwrap(), "\n");
    assert_eq!(answers(front), ["one"; 12]);
    ask(&control, "drain web").unwrap();
    is("server1-1", "DRAIN", "1");
    is("server1-2", "MAINT", "1");

    // A changed weight or a new neighbour does not end the administrative state.
    assert_eq!(ask(&control, "set server web/server1-1 state maint").unwrap(), "\n");
    serve_others(&dns, &[(one, 5), (two, 7)]);
    is("server1-1", "MAINT", "5");
    is("server1-2", "DRAIN", "7");
    assert_eq!(ask(&control, "enable server web/server1-2").unwrap(), "\n");
    assert_eq!(answers(front), ["two"; 12]);
    assert_eq!(ask(&control, "enable server web/server1-1").unwrap(), "\n");
    is("server1-1", "UP", "5");
    let log = dormouse.stderr().text();
    assert!(!log.contains("→ DOWN"), "{log}");
}
