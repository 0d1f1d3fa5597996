//! The fixed parts of dormouse-top(8).

pub(super) const PAGE: (&str, &str) = (
    r#".TH DORMOUSE\-TOP 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-top \- show services and sessions live in a terminal
.SH SYNOPSIS
.B dormouse top
[\fIOPTIONS\fR...]
.SH DESCRIPTION
Shows the services of a running \fBdormouse\-run\fR(8), as its control socket reports them (control in
\fBdormouse.toml\fR(5)): state and for how long, sessions, waiting clients, sessions and bytes per second from clients
(IN/S) and to them (OUT/S), and what happens next without a client. Below are the sessions of the selected service:
client, server, age, bytes and bytes per second. A narrow terminal shows the most important columns.
.PP
Rates are measured between the last two refreshes; '\-' stands for a missing one. With more than 10000 sessions only
the services are shown.
.PP
If the control socket stops answering, the last state stays on the screen, and the last line shows the error. The
terminal is restored at the end, also after SIGTERM, SIGINT and SIGHUP.
.SH OPTIONS
"#,
    r".SH KEYS
.TP
Up, Down, k, j
Select.
.TP
Enter, Tab
Switch between services and sessions.
.TP
s
Change the order: by name, by sessions, by rate (bytes per second, both ways). Sessions are ordered by age or by rate.
.TP
w, z, f, t
Wake, sleep, freeze or thaw the selected service, as the commands in \fBdormouse\-status\fR(8) do. The last line shows
the answer.
.TP
d
Drain the selected service, after y confirms it. If the service is drained, end the drain.
.TP
x
End the selected session, after y confirms it.
.TP
h, ?
Show the keys.
.TP
q, Ctrl\-C
Quit.
.SH EXIT STATUS
0 after quitting. 1 if the control socket does not answer at the start, or there is no terminal.
.SH SEE ALSO
\fBdormouse\-status\fR(8), \fBdormouse\-run\fR(8), \fBdormouse.toml\fR(5)
",
);
