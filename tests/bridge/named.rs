//! Servers by name under load: a real DNS server whose service records change, and no request that fails.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::{self, SOON};
use dormouse_tests::{Failure, Result};

use super::load::{Load, Request};

/// A DNS server that knows example.test.
struct Dns {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Dns {
    fn start() -> Result<Self> {
        // Somebody else may get the port between the choice and the server's start.
        for _ in 0..5 {
            if let Some(dns) = Self::try_start()? {
                return Ok(dns);
            }
        }
        Err(Failure::Unexpected("unbound does not start".to_owned()))
    }

    fn try_start() -> Result<Option<Self>> {
        let dir = TempDir::new()?;
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_err() {
            return Ok(None);
        }
        drop(udp);
        let (port, place) = (address.port(), dir.path().display());
        let config = format!(
            "server:\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n chroot: \"\"\n username: \"\"\n \
             directory: \"{place}\"\n pidfile: \"\"\n use-syslog: no\n num-threads: 1\n module-config: \"iterator\"\n \
             local-zone: \"example.test.\" static\n\
             remote-control:\n control-enable: yes\n control-interface: {place}/control\n control-use-cert: no\n"
        );
        fs::write(dir.join("unbound.conf"), config).unwrap();
        let mut command = Command::new("unbound");
        command.args(["-d", "-c"]).arg(dir.join("unbound.conf"));
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().doing(|| "start unbound (scripts/test-deps.sh installs it)".to_owned())?;
        let mut dns = Self { child, dir, address };
        let up = wait::until("unbound", SOON, || {
            let ended = dns.child.try_wait().unwrap().is_some();
            Ok((ended || dns.control(&["status"])).then_some(!ended))
        })?;
        Ok(up.then_some(dns))
    }

    /// Whether the server did as told.
    fn control(&self, words: &[&str]) -> bool {
        let mut command = Command::new("unbound-control");
        command.arg("-c").arg(self.dir.join("unbound.conf")).args(words);
        command.output().is_ok_and(|said| said.status.success())
    }

    /// The service has these servers, all with the priority 10: a name, a port and a weight each.
    fn serve(&self, servers: &[(u16, u16)]) {
        const NAME: &str = "_web._tcp.example.test.";
        // In between there is nothing, as where a record is replaced by hand.
        assert!(self.control(&["local_data_remove", NAME]));
        for (port, weight) in servers {
            let record = format!("{NAME} 1 IN SRV 10 {weight} {port} here.example.test.");
            assert!(self.control(&["local_data", &record]), "{record}");
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that answers a request with its name, and whoever says something else with what was said.
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

/// Says something to whom it has a session with, and hears it again.
fn still_there(session: &mut TcpStream) {
    session.write_all(b"hello\n").unwrap();
    let mut heard = [0; 6];
    session.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello\n");
}

fn answered_by<'a>(requests: &'a [Request], name: &str) -> Vec<&'a Request> {
    requests.iter().filter(|request| request.answer.as_deref() == Ok(name)).collect()
}

#[test]
fn servers_come_and_go_by_their_records_and_no_request_fails() {
    let dns = Dns::start().unwrap();
    let [one, two] = ["one", "two"].map(server);
    assert!(dns.control(&["local_data", "here.example.test. 60 IN A 127.0.0.1"]));
    dns.serve(&[(one, 1)]);
    let dir = TempDir::new().unwrap();
    let file = dir.join("dormouse.toml");
    let text = format!(
        "[services.web]\nlisten = \"127.0.0.1:0\"\nto = \"srv:_web._tcp.example.test\"\ndns = \"{}\"\n",
        dns.address
    );
    fs::write(&file, text).unwrap();
    let dormouse = Launch::dormouse().arg("run").arg(format!("--config={}", file.display())).start().unwrap();
    let front = wait::until("an address", SOON, || {
        let log = dormouse.stderr().text();
        let address = log.split("Listening on ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(address.and_then(|address| address.parse().ok()))
    });
    let front: SocketAddr = front.unwrap();
    // Whoever comes before the first answer waits for it.
    let mut session = TcpStream::connect(front).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    still_there(&mut session);
    let load = Load::start(front, 100);
    load.more(50).unwrap();
    dns.serve(&[(one, 1), (two, 3)]);
    let joined = || Ok(dormouse.stderr().text().contains(&format!("new 127.0.0.1:{two}")).then_some(()));
    wait::until("the second server", SOON, joined).map_err(|failure| dormouse.with_log(&failure)).unwrap();
    load.more(200).unwrap();
    dns.serve(&[(two, 3)]);
    let left = || Ok(dormouse.stderr().text().contains(&format!("gone 127.0.0.1:{one}")).then_some(()));
    wait::until("the first server's end", SOON, left).map_err(|failure| dormouse.with_log(&failure)).unwrap();
    // Who came before that is on the way for a moment.
    load.more(20).unwrap();
    let after = std::time::Instant::now();
    load.more(100).unwrap();
    // Sessions of who is gone go on.
    still_there(&mut session);
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
    // A share of three to one, while both were there.
    let both = answered_by(&requests, "two").len().saturating_sub(late.len());
    assert!(both >= 100, "{both} requests got to the second server beside the first");
    still_there(&mut session);
    // They come back to who has returned.
    dns.serve(&[(one, 1)]);
    let back = wait::until("the first server's return", SOON, || {
        let mut client = TcpStream::connect(front).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.write_all(b"GET /\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        Ok((answer == "one\n").then_some(()))
    });
    back.map_err(|failure| dormouse.with_log(&failure)).unwrap();
}
