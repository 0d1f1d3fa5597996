//! The manual page of `dormouse convert`, without its options.

pub(super) const PAGE: (&str, &str) = (
    r#".TH DORMOUSE\-CONVERT 1 "" "dormouse" "dormouse"
.SH NAME
dormouse\-convert \- convert an HAProxy configuration (mode tcp) to one for dormouse
.SH SYNOPSIS
.B dormouse convert
[\fB\-\-output=\fIFILE\fR] \fIHAPROXY.CFG\fR
.SH DESCRIPTION
Reads an HAProxy configuration and writes a file for \fBdormouse\-run\fR(8) with the same function. A frontend with its
default_backend, or a listen section, becomes a service. The command opens no sockets and starts nothing.
.PP
Each line that cannot be converted is reported on standard error, and in a comment at the top of the result, in the form
.PP
.nf
HAPROXY.CFG:LINE: the line: why, and what to do instead
.fi
.PP
A line marked (note) needs no conversion, but dormouse handles it differently: the user and the group, for example, are
settings of the unit. The result is checked like with \fBdormouse\-check\fR(8), and its errors are reported too.
.PP
Settings whose loss would admit other clients than before are not converted: a listener with ssl is omitted, because
dormouse would accept unencrypted connections there; a stats socket without level admin is omitted, because every client
of the control socket of dormouse has full rights; a service with rules that reject clients is written as a comment.
.SS What is converted
.TP
Sections
global, defaults (also named ones), frontend, backend and listen in mode tcp. Sections in another mode are omitted as a
whole.
.TP
bind
Addresses, ports and port ranges, unix@, abns@, ipv4@, ipv6@; mode, user, uid, group, gid, v6only, backlog,
interface, defer\-accept, tfo, transparent, accept\-proxy. As in HAProxy, *:80 means all IPv4 addresses.
.TP
server, default\-server, server\-template
The address, weight, backup, disabled, maxconn, maxqueue, check with inter, fastinter, downinter, rise, fall, slowstart,
observe layer4, error\-limit, on\-error, on\-marked\-down; send\-proxy, send\-proxy\-v2.
.TP
Others
balance, maxconn, backlog, retries, option redispatch, all TCP timeouts, tcp\-check rules that send and expect once,
option redis\-check, option tcplog (for all services), default_backend, use_backend without a condition, stats socket,
hard\-stop\-after, unix\-bind, setenv.
.PP
A number without a unit is in milliseconds, as in HAProxy; the result contains units. Variables ("${NAME}") are replaced
by their current values. Conditional blocks (.if) are omitted.
.SH OPTIONS
"#,
    r".SH EXIT STATUS
.TP
0
The conversion is complete.
.TP
1
Lines were omitted; they are reported.
.TP
2
The input is not an HAProxy configuration, or a file cannot be read or written. Nothing is written.
.SH EXAMPLE
.nf
dormouse convert /etc/haproxy/haproxy.cfg \-o /etc/dormouse/dormouse.toml
dormouse check
.fi
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8), \fBdormouse.toml\fR(5), \fBhaproxy\fR(1)
",
);
