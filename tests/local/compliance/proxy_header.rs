//! The PROXY header with the client's address for the backend.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dormouse_tests::failure::Doing;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Failure, Family, Listener, Result, Stream, Subject};

use crate::case::Expect::{Changed, ChangedAndDiffers};
use crate::case::cases;
use crate::rig::{Plan, Rig, exchange, log_of};

const UNKNOWN_V1: &str = "exit 1: ARGV0: unrecognized option '--proxy-protocol=v1'";
const UNKNOWN_V2: &str = "exit 1: ARGV0: unrecognized option '--proxy-protocol=v2'";

cases! {
    v1_tcp4: "a client over IPv4" => Changed {
        v252: UNKNOWN_V1,
        v261: "PROXY TCP4 127.0.0.1 127.0.0.1 CLIENT FRONT",
    }, |s| v1(s, Family::Tcp4);
    v1_tcp6: "a client over IPv6" => Changed {
        v252: UNKNOWN_V1,
        v261: "PROXY TCP6 ::1 ::1 CLIENT FRONT",
    }, |s| v1(s, Family::Tcp6);
    v1_mapped: "a client over IPv4 at a listener for both" => Changed {
        v252: UNKNOWN_V1,
        v261: "PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 CLIENT FRONT",
    }, |s| {
        let (mut rig, client) = mapped(s, "v1")?;
        first_line(&mut rig, s, &client)
    };
    v1_unix: "a client over a UNIX socket" => Changed { v252: UNKNOWN_V1, v261: "PROXY UNKNOWN" },
        |s| v1(s, Family::Unix);
    v1_unix_warns: "the log about a client over a UNIX socket" => Changed {
        v252: UNKNOWN_V1,
        v261: "?*",
    }, |s| {
        let mut rig = Plan::new(s).between(Family::Unix, Family::Tcp4).args(["--proxy-protocol=v1"]).start()?;
        let client = rig.client()?;
        let line = first_line(&mut rig, s, &client)?;
        if line.starts_with("exit") {
            return Ok(line);
        }
        rig.subject.stderr().wait_for("\n", SOON)?;
        Ok(format!("?{}", log_of(&rig.subject)))
    };
    v2_tcp4: "version 2, a client over IPv4" => ChangedAndDiffers {
        difference: "proxy-protocol-v2",
        v252: UNKNOWN_V2,
        v261: "exit 1: *",
        dormouse: "2111 000c 7f000001 7f000001 CLIENT FRONT",
    }, |s| v2(s, Family::Tcp4);
    v2_tcp6: "version 2, a client over IPv6" => ChangedAndDiffers {
        difference: "proxy-protocol-v2",
        v252: UNKNOWN_V2,
        v261: "exit 1: *",
        dormouse: "2121 0024 00000000000000000000000000000001 00000000000000000000000000000001 CLIENT FRONT",
    }, |s| v2(s, Family::Tcp6);
}

fn v1(subject: Subject, front: Family) -> Result<String> {
    let mut rig = Plan::new(subject).between(front, Family::Tcp4).args(["--proxy-protocol=v1"]).start()?;
    let client = rig.client()?;
    first_line(&mut rig, subject, &client)
}

/// Connects a client from `127.0.0.1` to a listener on `[::]`.
fn mapped(subject: Subject, version: &str) -> Result<(Rig, Stream)> {
    let front = Listener::bind_at(&Address::Tcp((Ipv6Addr::UNSPECIFIED, 0).into()))?;
    let at = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, front.address().port())));
    let back = Listener::bind(Family::Tcp4)?;
    let option = format!("--proxy-protocol={version}");
    let rig = Plan::new(subject).args([option.as_str()]).start_between(front, back)?;
    let client = Stream::connect(&at, SOON)?;
    Ok((rig, client))
}

/// Returns the line of the header with names instead of ports, or the way in which the program ended. The stream
/// continues after the header.
fn first_line(rig: &mut Rig, subject: Subject, client: &Stream) -> Result<String> {
    if subject == Subject::SocketProxyd && Subject::systemd_release()? < 261 {
        return rig.state_after(SOON);
    }
    let server = rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(server.receive(1, SOON)?);
        if line.len() > 107 {
            return Err(Failure::Unexpected(format!("{line:?} is longer than a header may be")));
        }
    }
    exchange(client, &server)?;
    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
    let ports = ports(rig, client)?.map(|(port, name)| (format!(" {port}"), format!(" {name}")));
    Ok(ports.iter().fold(text, |text, (port, name)| text.replacen(port.as_str(), name, 1)))
}

/// Returns the ports in a header and their names in the cases.
fn ports(rig: &Rig, client: &Stream) -> Result<[(u16, &'static str); 2]> {
    let client = client.socket().local_addr().doing(|| "ask for the client's port".to_owned())?;
    let client = client.as_socket().map_or(0, |address| address.port());
    Ok([(client, "CLIENT"), (rig.front.address().port(), "FRONT")])
}

fn v2(subject: Subject, front: Family) -> Result<String> {
    let mut rig = Plan::new(subject).between(front, Family::Tcp4).args(["--proxy-protocol=v2"]).start()?;
    if subject == Subject::SocketProxyd {
        return rig.state_after(SOON);
    }
    let (client, server) = rig.session()?;
    let signature = server.receive(12, SOON)?;
    if signature != b"\r\n\r\n\0\r\nQUIT\n" {
        return Ok(format!("begins with {signature:?}"));
    }
    let version_family = hex(&server.receive(2, SOON)?);
    let length = hex(&server.receive(2, SOON)?);
    let size = if front == Family::Tcp4 { 4 } else { 16 };
    let (source, destination) = (hex(&server.receive(size, SOON)?), hex(&server.receive(size, SOON)?));
    let mut text = format!("{version_family} {length} {source} {destination}");
    for (port, name) in ports(&rig, &client)? {
        let got = server.receive(2, SOON)?;
        text.push(' ');
        text.push_str(&if got == port.to_be_bytes() { name.to_owned() } else { hex(&got) });
    }
    exchange(&client, &server)?;
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
