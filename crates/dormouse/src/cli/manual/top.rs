//! What stands around the flags of dormouse-top(8).

pub(super) const PAGE: (&str, &str) = (
    r#".TH DORMOUSE\-TOP 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-top \- services and sessions, live in a terminal
.SH SYNOPSIS
.B dormouse top
[\fIOPTIONS\fR...]
.SH DESCRIPTION
Shows the services of a running \fBdormouse\-run\fR(8), as it tells them at its control socket (control in
\fBdormouse.toml\fR(5)): state and since when, sessions, clients that wait, sessions and bytes in a second from clients
(IN/S) and to them (OUT/S), and what happens next if nobody comes. Below are the sessions of the selected service:
client, server, age, bytes and bytes in a second. Where the terminal is narrow, the columns that matter less are left
out.
.PP
Rates are what was counted between the last two looks; '\-' where there is only one. With more than 10000 sessions the
services are shown alone.
.PP
When nobody answers any more, what was known stays, and the last line says why. The terminal is put back as it was at
the end, also after SIGTERM, SIGINT and SIGHUP.
.SH OPTIONS
"#,
    r".SH KEYS
.TP
Up, Down, k, j
Select.
.TP
Enter, Tab
From the services to the sessions, and back.
.TP
s
Change the order: by name, by sessions, by rate (bytes in a second, both ways). Sessions stand by age, or by rate.
.TP
w, z, f, t, d
Wake the selected service, put it to sleep, freeze, thaw or drain it, as the commands in \fBdormouse\-status\fR(8) do.
The last line tells the answer.
.TP
x
End the selected session, if y follows.
.TP
h, ?
Tell the keys.
.TP
q, Ctrl\-C
Quit.
.SH EXIT STATUS
0 when told to quit. 1 if nobody answers at the start, or there is no terminal.
.SH SEE ALSO
\fBdormouse\-status\fR(8), \fBdormouse\-run\fR(8), \fBdormouse.toml\fR(5)
",
);
