//! Resolution of names by the C library, with the same sources that other programs use (`getaddrinfo(3)`,
//! nsswitch.conf(5)): /etc/hosts, DNS, mDNS, container and machine names.

use std::ffi::{CStr, CString};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Why a name could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError {
    /// The host and the service, `HOST:SERVICE`.
    pub query: String,
    /// The C library's message (`gai_strerror(3)`).
    pub reason: String,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed to resolve {}: {}", self.query, self.reason)
    }
}

impl std::error::Error for ResolveError {}

/// Resolves a host name and a port number or service name. Blocks until the system's resolver has answered, so it must
/// not run in the event loop.
///
/// The addresses are in the resolver's order (RFC 6724).
///
/// # Errors
/// When the name has no address, the service has no port, or the resolver did not answer.
pub fn lookup(host: &str, service: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    getaddrinfo(host, service, 0)
}

/// Resolves a numeric host, with a zone (`fe80::1%eth0`) or in short form, and a port number or a service name of
/// services(5). Uses local tables only, never the network.
///
/// # Errors
/// When the host is not numeric, the zone is not an interface, or the service has no port.
pub fn lookup_numeric(host: &str, service: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    getaddrinfo(host, service, libc::AI_NUMERICHOST)
}

fn getaddrinfo(host: &str, service: &str, flags: i32) -> Result<Vec<SocketAddr>, ResolveError> {
    let error = |reason: String| ResolveError { query: format!("{host}:{service}"), reason };
    let text = |text: &str| CString::new(text).map_err(|_| error("the name contains a NUL byte".to_owned()));
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
        // SAFETY: gai_strerror returns a static, NUL-terminated string for every code.
        let reason = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
        return Err(error(reason.to_string_lossy().into_owned()));
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    // SAFETY: getaddrinfo returned this list; each entry is null or valid until the list is freed below.
    while let Some(info) = unsafe { entry.as_ref() } {
        // SAFETY: as above; ai_addr holds ai_addrlen bytes of the family ai_family.
        addresses.extend(unsafe { socket_addr(info) });
        entry = info.ai_next;
    }
    // SAFETY: getaddrinfo returned the list, which is freed once. Nothing borrows from it: the addresses were copied.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(error("no address of a usable family".to_owned())) } else { Ok(addresses) }
}

/// # Safety
/// `info.ai_addr` must point to `info.ai_addrlen` readable bytes of an address of family `info.ai_family`.
unsafe fn socket_addr(info: &libc::addrinfo) -> Option<SocketAddr> {
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: the family guarantees a sockaddr_in; read_unaligned requires no alignment.
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
    fn a_name_is_resolved_from_the_hosts_file() {
        let addresses = lookup("localhost", "80").unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[test]
    fn a_zone_is_kept_as_the_scope() {
        let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse().unwrap();
        let ip = "fe80::1".parse().unwrap();
        let expected = SocketAddr::V6(SocketAddrV6::new(ip, 80, 0, index));
        assert_eq!(lookup_numeric("fe80::1%lo", "80").unwrap(), [expected]);
    }

    #[test]
    fn a_failure_carries_the_message_of_the_c_library() {
        let error = lookup_numeric("localhost", "80").unwrap_err();
        assert_eq!(error.query, "localhost:80");
        assert!(!error.reason.is_empty());
    }

    #[test]
    fn a_nul_byte_is_an_error() {
        assert!(lookup("a\0b", "80").unwrap_err().reason.contains("NUL"));
    }
}
