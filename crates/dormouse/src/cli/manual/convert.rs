//! What stands around the flags of `dormouse convert` in its page.

pub(super) const PAGE: (&str, &str) = (
    r#".TH DORMOUSE\-CONVERT 1 "" "dormouse" "dormouse"
.SH NAME
dormouse\-convert \- turn a configuration of HAProxy for TCP into one for dormouse
.SH SYNOPSIS
.B dormouse convert
[\fB\-\-output=\fIFILE\fR] \fIHAPROXY.CFG\fR
.SH DESCRIPTION
Reads a configuration of HAProxy and writes the file for \fBdormouse\-run\fR(8) that does the same. A frontend with its
default_backend, or a listen section, becomes a service. Nothing is opened or started.
.PP
Each line that could not be taken over is told on standard error, and in a comment at the top of the result, as
.PP
.nf
HAPROXY.CFG:LINE: the line: why, and what to do instead
.fi
.PP
Lines that are marked (note) are done in another way, which somebody should know: a user and a group belong into the
unit, for example. The result is checked as \fBdormouse\-check\fR(8) would; what that refuses is told, too.
.PP
What would open something that was closed is not written: a listener with ssl is left out, because dormouse would take
unprotected connections there; so is a stats socket without level admin, because whoever reaches the control socket of
dormouse may do all; and a service with rules that reject clients is written as a comment.
.SS What is taken over
.TP
Sections
global, defaults (with names, too), frontend, backend and listen in mode tcp. Sections in another mode are left out as a
whole.
.TP
bind
Addresses, ports and ranges of ports, unix@, abns@, ipv4@, ipv6@; mode, user, uid, group, gid, v6only, backlog,
interface, defer\-accept, tfo, transparent, accept\-proxy. As in HAProxy, *:80 is all IPv4 addresses.
.TP
server, default\-server, server\-template
The address, weight, backup, disabled, maxconn, maxqueue, check with inter, fastinter, downinter, rise, fall, slowstart,
observe layer4, error\-limit, on\-error, on\-marked\-down; send\-proxy, send\-proxy\-v2.
.TP
Others
balance, maxconn, backlog, retries, option redispatch, all timeouts of TCP, tcp\-check rules that send and expect once,
option redis\-check, option tcplog (for all services), default_backend, use_backend without a condition, stats socket,
hard\-stop\-after, unix\-bind, setenv.
.PP
A number without a unit is milliseconds, as HAProxy takes it; the result says units. Variables ("${NAME}") are replaced
by the values that they have where it is converted. Conditional blocks (.if) are left out.
.SH OPTIONS
"#,
    r".SH EXIT STATUS
0 if all was taken over. 1 if something was left out, which is told. 2 if it is no configuration of HAProxy, or cannot be
read or written; nothing is written then.
.SH EXAMPLE
.nf
dormouse convert /etc/haproxy/haproxy.cfg \-o /etc/dormouse/dormouse.toml
dormouse check
.fi
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8), \fBdormouse.toml\fR(5), \fBhaproxy\fR(1)
",
);
