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
    // SAFETY: getaddrinfo has made this list.
    let addresses = unsafe { addresses(list) };
    // SAFETY: getaddrinfo returned the list, which is freed once. Nothing borrows from it: the addresses were copied.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(error("no address of a usable family".to_owned())) } else { Ok(addresses) }
}

/// Copies the addresses of a list.
///
/// # Safety
/// `entry` and each `ai_next` is null or points to a valid entry, whose `ai_addr` points to `ai_addrlen` readable bytes.
unsafe fn addresses(mut entry: *const libc::addrinfo) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    // SAFETY: the caller promises it.
    while let Some(info) = unsafe { entry.as_ref() } {
        // SAFETY: the caller promises it.
        addresses.extend(unsafe { socket_addr(info) });
        entry = info.ai_next;
    }
    addresses
}

/// # Safety
/// `info.ai_addr` must point to `info.ai_addrlen` readable bytes.
unsafe fn socket_addr(info: &libc::addrinfo) -> Option<SocketAddr> {
    let length = usize::try_from(info.ai_addrlen).ok()?;
    match info.ai_family {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the address has the size of a sockaddr_in, of which every bit pattern is one; read_unaligned
            // requires no alignment.
            let address = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
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
    #[cfg_attr(miri, ignore = "Miri has no hints of getaddrinfo")]
    fn numeric_hosts_need_no_resolver() {
        assert_eq!(lookup_numeric("127.0.0.1", "80").unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(lookup_numeric("::1", "443").unwrap(), ["[::1]:443".parse().unwrap()]);
        assert!(lookup_numeric("localhost", "80").is_err());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no hints of getaddrinfo")]
    fn a_name_is_resolved_from_the_hosts_file() {
        let addresses = lookup("localhost", "80").unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no hints of getaddrinfo")]
    fn a_zone_is_kept_as_the_scope() {
        let index = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap().trim().parse().unwrap();
        let ip = "fe80::1".parse().unwrap();
        let expected = SocketAddr::V6(SocketAddrV6::new(ip, 80, 0, index));
        assert_eq!(lookup_numeric("fe80::1%lo", "80").unwrap(), [expected]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no hints of getaddrinfo")]
    fn a_failure_carries_the_message_of_the_c_library() {
        let error = lookup_numeric("localhost", "80").unwrap_err();
        assert_eq!(error.query, "localhost:80");
        assert!(!error.reason.is_empty());
    }

    /// Bytes of an address at an odd place in memory.
    fn unaligned<T>(address: &T) -> Vec<u8> {
        // SAFETY: the addresses of the tests are made of zeroes first, so that all their bytes are initialized.
        let bytes =
            unsafe { std::slice::from_raw_parts(ptr::from_ref(address).cast::<u8>(), size_of::<T>()) };
        [&[0], bytes].concat()
    }

    /// Returns an entry for an address that starts at the second byte.
    fn entry(family: i32, address: &mut [u8], next: *mut libc::addrinfo) -> libc::addrinfo {
        // SAFETY: `addrinfo` is integers and pointers, for which zero (null) is a value.
        let mut info: libc::addrinfo = unsafe { std::mem::zeroed() };
        info.ai_family = family;
        info.ai_addrlen = libc::socklen_t::try_from(address.len() - 1).unwrap();
        info.ai_addr = address[1..].as_mut_ptr().cast();
        info.ai_next = next;
        info
    }

    #[test]
    fn addresses_are_copied_from_a_list() {
        // SAFETY: the structs are integers, for which zero is a value.
        let (mut v4, mut v6): (libc::sockaddr_in, libc::sockaddr_in6) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        v4.sin_addr.s_addr = u32::from(Ipv4Addr::new(192, 0, 2, 1)).to_be();
        v4.sin_port = 80_u16.to_be();
        v6.sin6_addr.s6_addr = Ipv6Addr::LOCALHOST.octets();
        v6.sin6_port = 443_u16.to_be();
        (v6.sin6_flowinfo, v6.sin6_scope_id) = (5, 6);
        let (mut v4, mut v6) = (unaligned(&v4), unaligned(&v6));
        let (mut short, mut unknown) = (v6[..20].to_vec(), vec![0; 3]);
        let mut last = entry(libc::AF_INET6, &mut v6, ptr::null_mut());
        let mut third = entry(libc::AF_INET6, &mut short, &raw mut last);
        let mut second = entry(libc::AF_UNIX, &mut unknown, &raw mut third);
        let first = entry(libc::AF_INET, &mut v4, &raw mut second);
        let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 443, 5, 6);
        // SAFETY: the entries and the addresses live, and are not used otherwise.
        let found = unsafe { addresses(&raw const first) };
        assert_eq!(found, ["192.0.2.1:80".parse().unwrap(), SocketAddr::V6(v6)]);
        // SAFETY: null is an empty list.
        assert_eq!(unsafe { addresses(ptr::null()) }, []);
    }

    #[test]
    fn a_nul_byte_is_an_error() {
        assert!(lookup("a\0b", "80").unwrap_err().reason.contains("NUL"));
    }
}
