//! `AF_VSOCK` addresses, which neither std nor rustix knows (vsock(7)).

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// Any context: what a listener binds to (`VMADDR_CID_ANY`).
pub const CID_ANY: u32 = libc::VMADDR_CID_ANY;
/// Any port: the kernel chooses (`VMADDR_PORT_ANY`).
pub const PORT_ANY: u32 = libc::VMADDR_PORT_ANY;

/// The address of a vsock endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VsockAddr {
    /// The context identifier: 1 this host (loopback), 2 the hypervisor's host, from 3 on guests.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

// SAFETY: the closure is given a pointer to a fully initialised `sockaddr_vm` that lives until it returns, and that
// structure's own size.
unsafe impl SocketAddrArg for VsockAddr {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        // SAFETY: all of `sockaddr_vm`'s fields are integers, for which zero is a value.
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
    fn a_vsock_listener_can_be_bound() {
        let fd = socket(AddressFamily::VSOCK, SocketType::STREAM, None)
            .expect("AF_VSOCK is missing: modprobe vsock");
        bind(&fd, &VsockAddr { cid: CID_ANY, port: PORT_ANY })
            .expect("a transport of vsock is missing: modprobe vsock_loopback");
        listen(&fd, 1).unwrap();
        assert_eq!(getsockname(&fd).unwrap().address_family(), AddressFamily::VSOCK);
    }
}
