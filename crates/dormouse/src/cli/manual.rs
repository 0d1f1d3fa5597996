//! The manual page of `dormouse proxy`, made from the definitions of its flags.

use std::fmt::Write as _;

use super::flags::{Definition, PROXY};

/// The page, for man(1). docs/man/dormouse-proxy.8 is this text.
pub(super) fn proxy() -> String {
    let mut page = String::from(HEAD);
    for Definition { spec, value, manual, .. } in PROXY {
        let short = spec.short.map_or_else(String::new, |short| format!(", \\fB\\-{short}\\fR"));
        let equals = if value.is_empty() { String::new() } else { format!("=\\fI{}\\fR", roff(value)) };
        // A String takes whatever is written to it.
        let _ = writeln!(page, ".TP\n\\fB\\-\\-{}\\fR{equals}{short}\n{}", roff(spec.long), roff(manual));
    }
    page.push_str(TAIL);
    page
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

const HEAD: &str = r#".TH DORMOUSE\-PROXY 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-proxy \- pass connections on to a socket elsewhere, and hold them until it answers
.SH SYNOPSIS
.B dormouse proxy
[\fIOPTIONS\fR...] \fIHOST\fR:\fIPORT\fR
.br
.B dormouse proxy
[\fIOPTIONS\fR...] \fI/PATH\fR | @\fIABSTRACT\fR | vsock:\fICID\fR:\fIPORT\fR
.SH DESCRIPTION
Accepts connections on the sockets that the service manager passes (or on \fB\-\-listen=\fR), connects each to the
target, and passes bytes on both ways until both sides have ended. While the target is not there yet, clients are held.
.PP
It takes the place of \fBsystemd\-socket\-proxyd\fR(8): called by that name, or as \fBdormouse proxy\fR, it takes the
same options, and a unit that ran the one runs the other with only the path changed.
.PP
The target is an IPv4 or IPv6 address (with or without brackets) or a name, with a port or a service name, 80 if there
is none; the path of a UNIX socket; an abstract UNIX name; or a vsock port. What can never work is refused at start.
.PP
With an Accept=yes socket unit the one connection that is passed in is served, and the program exits.
.SH OPTIONS
"#;

const TAIL: &str = r#".PP
A \fISPAN\fR is a time span as in \fBsystemd.time\fR(7), for example "1min 30s"; a number alone is seconds. For the
timeouts of sessions and addresses, 0 and infinity mean none.
.SH EXIT STATUS
0 on success: told to stop, idle, or the one session served. 1 on failure.
.SH SIGNALS
.TP
SIGTERM, SIGINT
Stop accepting, wait for \fB\-\-drain\-timeout=\fR, end. A second one ends at once.
.SH ENVIRONMENT
LISTEN_FDS, LISTEN_PID, LISTEN_PIDFDID, LISTEN_FDNAMES (\fBsd_listen_fds\fR(3)); NOTIFY_SOCKET (\fBsd_notify\fR(3));
WATCHDOG_USEC, WATCHDOG_PID (\fBsd_watchdog_enabled\fR(3)); SYSTEMD_LOG_LEVEL; JOURNAL_STREAM.
.SH EXAMPLE
A web server that listens on /run/nginx/socket sleeps until somebody comes to port 80, and again after five minutes:
.PP
.nf
# proxy\-to\-nginx.socket
[Socket]
ListenStream=80
[Install]
WantedBy=sockets.target

# proxy\-to\-nginx.service
[Unit]
Requires=nginx.service proxy\-to\-nginx.socket
After=nginx.service proxy\-to\-nginx.socket
[Service]
Type=notify
ExecStart=/usr/bin/dormouse proxy \-\-exit\-idle\-time=5min /run/nginx/socket
.fi
.PP
with StopWhenUnneeded=yes in nginx.service.
.SH SEE ALSO
\fBsystemd\-socket\-proxyd\fR(8), \fBsystemd.socket\fR(5), \fBsystemd.time\fR(7)
"#;

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_page_is_in_step() {
        let shipped = include_str!("../../../../docs/man/dormouse-proxy.8");
        assert!(shipped == super::proxy(), "run: cargo run -- manual > docs/man/dormouse-proxy.8");
    }
}
