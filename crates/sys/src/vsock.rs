//! `AF_VSOCK` addresses, which neither std nor rustix supports (vsock(7)).

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// The wildcard context identifier, to which a listener binds (`VMADDR_CID_ANY`).
pub const CID_ANY: u32 = libc::VMADDR_CID_ANY;
/// The wildcard port: the kernel chooses a port (`VMADDR_PORT_ANY`).
pub const PORT_ANY: u32 = libc::VMADDR_PORT_ANY;

/// The address of a vsock endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VsockAddr {
    /// The context identifier: 1 is this host (loopback), 2 the hypervisor's host, 3 and above are guests.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

// SAFETY: the closure receives a pointer to a fully initialised `sockaddr_vm` that lives until it returns, and the size
// of that structure.
unsafe impl SocketAddrArg for VsockAddr {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        // SAFETY: all fields of `sockaddr_vm` are integers, for which zero is a value.
        let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
        #[expect(clippy::cast_possible_truncation, reason = "AF_VSOCK is 40")]
        let family = libc::AF_VSOCK as libc::sa_family_t;
        address.svm_family = family;
        address.svm_cid = self.cid;
        address.svm_port = self.port;
        #[expect(clippy::cast_possible_truncation, reason = "16 bytes")]
        let length = size_of::<libc::sockaddr_vm>() as SocketAddrLen;
        f((&raw const address).cast(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    #[test]
    fn an_address_has_the_layout_of_the_kernel() {
        let address = VsockAddr { cid: 2, port: 1234 };
        // SAFETY: the closure copies `length` bytes, all of which are initialised, while the pointer is valid.
        let bytes = unsafe {
            address.with_sockaddr(|start, length| {
                std::slice::from_raw_parts(start.cast::<u8>(), usize::try_from(length).unwrap()).to_vec()
            })
        };
        assert_eq!(bytes.len(), 16);
        assert_eq!(bytes[..2], 40_u16.to_ne_bytes(), "AF_VSOCK");
        assert_eq!(bytes[4..8], 1234_u32.to_ne_bytes());
        assert_eq!(bytes[8..12], 2_u32.to_ne_bytes());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no AF_VSOCK")]
    fn a_vsock_listener_can_be_bound() {
        let fd = socket(AddressFamily::VSOCK, SocketType::STREAM, None)
            .expect("AF_VSOCK is missing: modprobe vsock");
        bind(&fd, &VsockAddr { cid: CID_ANY, port: PORT_ANY })
            .expect("a transport of vsock is missing: modprobe vsock_loopback");
        listen(&fd, 1).unwrap();
        assert_eq!(getsockname(&fd).unwrap().address_family(), AddressFamily::VSOCK);
    }
}
