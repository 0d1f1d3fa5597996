//! The hosts that requests to the web address may name.
//!
//! A web site can let its own name resolve to this address (DNS rebinding). The browser of a visitor would then let the
//! site read the answers, but it still sends the name of the site as the host.

use std::net::IpAddr;

use dormouse_core::address::Host;
use hyper::Request;
use hyper::header::HOST;

/// Returns whether each host that a request names is this machine, the address that the client has connected to, or one
/// of `listed`. A request without a host is no browser's.
pub(super) fn is_allowed<B>(request: &Request<B>, local: IpAddr, listed: &[Host]) -> bool {
    let in_target = request.uri().host();
    let in_headers = request.headers().get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
    in_target.into_iter().chain(in_headers).all(|text| {
        let host = Host::parse_with_port(text).map(|(host, _)| host);
        host.is_ok_and(|host| is_own(&host, local) || listed.iter().any(|listed| is_same(listed, &host)))
    })
}

fn is_own(host: &Host, local: IpAddr) -> bool {
    match host {
        Host::Ip(ip) => ip.to_canonical().is_loopback() || ip.to_canonical() == local.to_canonical(),
        Host::Scoped { addr, .. } => IpAddr::from(*addr) == local,
        Host::Loopback => false,
        Host::Name(name) => {
            let name = plain(name.as_str());
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

fn is_same(listed: &Host, host: &Host) -> bool {
    match (listed, host) {
        (Host::Name(listed), Host::Name(host)) => plain(listed.as_str()) == plain(host.as_str()),
        _ => listed == host,
    }
}

/// Returns a name in lower case and without a dot at its end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str], local: &str) -> bool {
        let listed = ["status.example.org", "192.0.2.9"].map(|text| Host::parse_with_port(text).unwrap().0);
        let mut request = Request::builder().uri("/");
        for host in hosts {
            request = request.header(HOST, *host);
        }
        is_allowed(&request.body(()).unwrap(), local.parse().unwrap(), &listed)
    }

    #[test]
    fn this_machine_its_address_and_listed_names_are_allowed() {
        for host in [
            "localhost",
            "LocalHost.:9180",
            "a.localhost:9180",
            "127.0.0.1:9180",
            "127.8.8.8",
            "[::1]:9180",
            "192.0.2.7:9180",
            "192.0.2.9",
            "Status.Example.Org:443",
        ] {
            assert!(allowed(&[host], "192.0.2.7"), "{host}");
        }
        assert!(allowed(&["192.0.2.7"], "::ffff:192.0.2.7"));
        assert!(allowed(&[], "192.0.2.7"));
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "status.example.org.evil.example",
            "*",
            "",
            "/",
            "a b",
            "[::1",
        ] {
            assert!(!allowed(&[host], "192.0.2.7"), "{host}");
        }
        assert!(!allowed(&["localhost", "evil.example"], "192.0.2.7"));
        let absolute = Request::builder().uri("http://evil.example/").header(HOST, "localhost");
        assert!(!is_allowed(&absolute.body(()).unwrap(), [127, 0, 0, 1].into(), &[]));
    }
}
