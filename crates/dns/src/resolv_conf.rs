//! The resolvers: `/etc/resolv.conf` (resolv.conf(5)), or the configured ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use dormouse_sys::regular_file::read_at_most;
use dormouse_sys::resolve::lookup_numeric;

/// The path of the system's configuration.
const FILE: &str = "/etc/resolv.conf";
/// The C library's limits.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH_DOMAINS: usize = 6;
/// The maximum number of bytes that are read.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The resolvers, and how to query them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// The resolvers, in order of preference.
    pub(super) servers: Vec<SocketAddr>,
    /// The search list: domains that are appended to names.
    pub(super) search: Vec<String>,
    /// A name with at least this number of dots is queried without a search domain first.
    pub(super) ndots: usize,
    /// The timeout of one query to one resolver.
    pub(super) timeout: Duration,
    /// The number of queries to each resolver.
    pub(super) attempts: u32,
}

impl Default for ResolvConf {
    /// The defaults of options that the file does not set. Timeout and attempts are `HAProxy`'s.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(1),
            attempts: 2,
        }
    }
}

impl ResolvConf {
    /// Returns the given resolvers, without a search list.
    pub(super) fn with_servers(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), ..Self::default() }
    }

    /// Reads the system's configuration. Without a resolver in it, the resolver is 127.0.0.1.
    pub(super) fn system() -> Self {
        Self::of_file(Path::new(FILE))
    }

    fn of_file(path: &Path) -> Self {
        // Like the C library, an unreadable file counts as empty.
        let bytes = read_at_most(path, MAX_FILE_BYTES).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MAX_SERVERS => {
                    conf.servers.extend(words.next().and_then(server));
                }
                Some("search" | "domain") => {
                    let plain = |domain: &str| domain.trim_matches('.').to_owned();
                    conf.search = words
                        .map(plain)
                        .filter(|domain| !domain.is_empty())
                        .take(MAX_SEARCH_DOMAINS)
                        .collect();
                }
                Some("options") => words.for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let Some((name, number)) = option.split_once(':') else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = usize::try_from(number.min(15)).unwrap_or_default(),
            "timeout" => self.timeout = Duration::from_secs(u64::from(number.clamp(1, 30))),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }

    /// Returns the names to query for a name, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') || self.search.is_empty() {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let itself = name.to_owned();
        if name.matches('.').count() >= self.ndots {
            std::iter::once(itself).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(itself)).collect()
        }
    }
}

/// Parses an address. A link-local one may have an interface as its zone, by name or number.
fn server(text: &str) -> Option<SocketAddr> {
    lookup_numeric(text, "53").ok()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_file_like_the_c_library() {
        let conf = ResolvConf::parse(
            "# comment\nnameserver 192.0.2.1\nnameserver  ::1 \nnameserver nonsense\nnameserver 192.0.2.3\n\
             nameserver 192.0.2.4\ndomain old.example\nsearch a.example. b.example\n\
             options ndots:5 timeout:3 attempts:9 rotate edns0\n",
        );
        let expected = ["192.0.2.1:53", "[::1]:53", "192.0.2.3:53"].map(|server| server.parse().unwrap());
        assert_eq!(conf.servers, expected);
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (5, Duration::from_secs(3), 5));
        assert_eq!(ResolvConf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn parses_the_zone_of_a_link_local_server() {
        // Every machine has the loopback interface.
        let conf =
            ResolvConf::parse("nameserver fe80::1%lo\nnameserver fe80::2%1\nnameserver fe80::3%nowhere\n");
        let expected = ["[fe80::1%1]:53", "[fe80::2%1]:53"].map(|server| server.parse().unwrap());
        assert_eq!(conf.servers, expected);
    }

    #[test]
    fn a_name_with_few_dots_uses_the_search_list_first() {
        let conf = ResolvConf { search: vec!["x".to_owned(), "y".to_owned()], ..ResolvConf::default() };
        assert_eq!(conf.candidates("db"), ["db.x", "db.y", "db"]);
        assert_eq!(conf.candidates("db.z"), ["db.z", "db.z.x", "db.z.y"]);
        assert_eq!(conf.candidates("db."), ["db."]);
        assert_eq!(ResolvConf::default().candidates("db"), ["db"]);
    }
}
