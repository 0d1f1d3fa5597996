//! Names to addresses by the C library, as every other program of the machine resolves them (`getaddrinfo(3)`,
//! nsswitch.conf(5)): /etc/hosts, DNS, mDNS, container and machine names.

use std::ffi::{CStr, CString};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Why a name has no address (yet).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    /// What was asked for, `HOST:SERVICE`.
    pub asked: String,
    /// The C library's words (`gai_strerror(3)`).
    pub reason: String,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed to resolve {}: {}", self.asked, self.reason)
    }
}

impl std::error::Error for ResolveError {}

/// Resolves a host name and a port number or service name. Blocks, for as long as the system's resolver takes: call
/// it off the data path.
///
/// The order is the resolver's (RFC 6724).
///
/// # Errors
/// When the name has no address, the service has no port, or the resolver did not answer.
pub fn lookup(host: &str, service: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    ask(host, service, 0)
}

/// Completes what needs no resolver but the machine's own tables: numeric hosts, with a zone (`fe80::1%eth0`) or in
/// short form, and a service name of services(5). Never leaves the machine.
///
/// # Errors
/// When the host is not numeric, the zone is no interface, or the service has no port.
pub fn lookup_numeric(host: &str, service: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    ask(host, service, libc::AI_NUMERICHOST)
}

fn ask(host: &str, service: &str, flags: i32) -> Result<Vec<SocketAddr>, ResolveError> {
    let error = |reason: String| ResolveError { asked: format!("{host}:{service}"), reason };
    let text = |text: &str| CString::new(text).map_err(|_| error("a NUL byte in the name".to_owned()));
    let (node, port) = (text(host)?, text(service)?);
    // SAFETY: `addrinfo` is integers and pointers, for which zero (null) is a value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_UNSPEC;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = flags;
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: both strings are NUL-terminated and live until the call returns; `hints` and `list` are valid.
    let code = unsafe { libc::getaddrinfo(node.as_ptr(), port.as_ptr(), &raw const hints, &raw mut list) };
    if code != 0 {
        // SAFETY: gai_strerror returns a static string for every code.
        let reason = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
        return Err(error(reason.to_string_lossy().into_owned()));
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    // SAFETY: the list is the one getaddrinfo just made; each entry is valid until it is freed below.
    while let Some(info) = unsafe { entry.as_ref() } {
        // SAFETY: as above; ai_addr holds ai_addrlen bytes of the family ai_family.
        addresses.extend(unsafe { socket_addr(info) });
        entry = info.ai_next;
    }
    // SAFETY: made by getaddrinfo, freed once, and nothing borrows from it: addresses were copied.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(error("no address of a usable family".to_owned())) } else { Ok(addresses) }
}

/// # Safety
/// `info.ai_addr` must point to `info.ai_addrlen` readable bytes of an address of family `info.ai_family`.
unsafe fn socket_addr(info: &libc::addrinfo) -> Option<SocketAddr> {
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in; read_unaligned asks nothing of its alignment.
            let address = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let address = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_hosts_need_no_resolver() {
        assert_eq!(lookup_numeric("127.0.0.1", "80").unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(lookup_numeric("::1", "443").unwrap(), ["[::1]:443".parse().unwrap()]);
        assert!(lookup_numeric("localhost", "80").is_err());
    }

    #[test]
    fn names_come_from_the_hosts_file() {
        let addresses = lookup("localhost", "80").unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[test]
    fn a_nul_byte_is_an_error() {
        assert!(lookup("a\0b", "80").unwrap_err().reason.contains("NUL"));
    }
}
