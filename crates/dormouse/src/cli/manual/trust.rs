//! The sections of dormouse.toml(5) about what a server may trust: the fields of PROXY headers, and credentials.

use std::fmt::Write as _;

use dormouse_core::proxy_protocol::tlv::{Passage, TYPES};

use super::roff;

/// Returns the section about PROXY headers, with the table of the types that pass.
pub(super) fn proxy_headers() -> String {
    let mut text = String::from(
        ".SH PROXY HEADERS\nWith accept_proxy and proxy_protocol dormouse reads a header and writes one. The header for \
         the server contains the addresses and, in version 2, the TLVs of the accepted header whose type passes:\n",
    );
    for known in TYPES {
        let types = if known.first == known.last {
            format!("0x{:02X}", known.first)
        } else {
            format!("0x{:02X}-0x{:02X}", known.first, known.last)
        };
        let passage = match known.passage {
            Passage::Passes => "passes".to_owned(),
            Passage::Stops(reason) => format!("does not pass: {reason}"),
        };
        let what = roff(&format!("{}; {passage}.", known.name));
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".TP\n{}\n{what}", roff(&types));
    }
    text.push_str(PROXY_HEADERS_END);
    text
}

const PROXY_HEADERS_END: &str = ".PP
Other types do not pass. What passes is the word of the sender, as the addresses are: list only proxies in accept_proxy
whose word the server may take, and let only such proxies connect to a UNIX socket of the service, because each local
client may send a header, too. The types that dormouse states itself are those of unique_id and credentials; a server
that gets them can rely on them.
";

/// The section about the credentials that a server sees.
pub(super) const CREDENTIALS: &str = r#".SH CREDENTIALS
A server on a UNIX socket can ask the kernel for the user and the groups of its client (SO_PEERCRED and SO_PEERGROUPS,
\fBunix\fR(7)). Many decide by them: PostgreSQL (\fBpeer\fR), MariaDB (\fBunix_socket\fR), D\-Bus, container engines. The
client of the server is dormouse, so that by default such a server gives each client the rights of the user that dormouse
runs as. Permissions of the server's socket do not protect it either: dormouse may connect, and so may each client that the
listener lets in.
.PP
\fBdormouse\-check\fR(8) and \fBdormouse\-run\fR(8) warn of each listener that is wider than the socket of a server
behind it: a listener on TCP or vsock in front of a UNIX socket, and a listener on a UNIX socket that lets in users whom the
file of the server's socket, or a directory above it, does not. A socket that does not exist yet is judged by the directories
that do. A listener on TCP is open to every user of the machine, also on 127.0.0.1. There is no warning for a UNIX listener
that is as wide as the server's socket, but its clients, too, have the rights of dormouse's user: use pass where the server
decides by the user.
.SS "peer_credentials = \(dqpass\(dq"
dormouse connects to the server with the user, the group and the supplementary groups that the client had when it connected.
The server sees them in SO_PEERCRED and SO_PEERGROUPS, and the kernel lets in just the users that the server's socket and
its directories let in. This applies to each connection for a client: at once, after a wake, after a hold, and each retry.
.IP \(bu 2
All listeners and servers of the service must be UNIX sockets, in the file system or abstract.
.IP \(bu 2
dormouse needs CAP_SETUID and CAP_SETGID and does not start without them. In the unit of a dormouse that is not root:
AmbientCapabilities=CAP_SETUID CAP_SETGID, and where SystemCallFilter= is set also @setuid, capset. They let dormouse become
any user: without root, too, such a process must be protected like one of root.
.IP \(bu 2
The process ID in SO_PEERCRED is that of dormouse, and so is the process of SO_PEERPIDFD. A server that looks up its client
by the process ID, as D\-Bus does for polkit, takes the client for dormouse: do not put dormouse in front of it.
.IP \(bu 2
Only the user and the groups are passed, no capabilities. A client of root is user 0 at the server, but a socket whose mode
does not let user 0 in refuses it.
.IP \(bu 2
A thread of its own makes the connection, at most 8 at once, within timeout.connect, and ends. Only its effective IDs change,
so that the user of a client can neither send it signals nor trace it. From the first such connection on, the kernel treats
dormouse as undumpable (PR_SET_DUMPABLE, \fBprctl\fR(2)): no core dumps, and debuggers only for root.
.IP \(bu 2
Health checks and the connections that show whether a workload is ready come from dormouse itself. No client gets one of them.
A client that the server's socket does not let in is refused at once, except in the first 2 seconds of the socket's file,
when the server may be about to set the mode. It does not count as a failure of the server.
.IP \(bu 2
The client of dormouse counts, also if it sends a PROXY header about another one.
.IP \(bu 2
A client that asks for the user of its server (requirepeer of libpq) sees that of dormouse, with pass and without.
.SS "Credentials in messages"
A receiver with SO_PASSCRED gets credentials with each message (SCM_CREDENTIALS). With pass they are those of the sender, in
both directions; the process ID only if dormouse has CAP_SYS_ADMIN and the process lives, otherwise it is that of dormouse.
Without peer_credentials dormouse withholds them: the receiver gets the user and the group 65534 (nobody) and the process ID
of dormouse, and bytes to UNIX sockets are copied, because spliced ones would carry dormouse's own. With own the kernel adds
those of dormouse, and bulk transfers are spliced. A dormouse without CAP_SETUID and CAP_SETGID cannot withhold them; the
kernel then adds its user, who has no rights that other processes of that user lack. \fBdormouse\-proxy\fR(8) leaves
them to the kernel, as \fBsystemd\-socket\-proxyd\fR(8) does.
.SS "Descriptors in messages"
Descriptors (SCM_RIGHTS) pass between two UNIX sockets. Where the server listens at another kind of address, and at the
control socket, Linux 6.16 refuses them: the sender gets EPERM. On older kernels the bytes pass, and the descriptors are
closed. A server that reads slowly does not make dormouse hold them: they wait in the socket of the client. All sessions
together hold at most 1012, or what LimitNOFILE= leaves; a session that would exceed it ends.
.SS "What is not passed"
Security labels (SO_PEERSEC, SCM_SECURITY) and process descriptors (SO_PEERPIDFD, SCM_PIDFD) of a client are never passed: a
server that asks for them gets those of dormouse. The user of a client that comes over TCP, vsock or another proxy is not
known to dormouse; a PROXY header can carry what is known of it.
"#;
