//! What stands around the flags of dormouse-status(8).

pub(super) const STATUS: (&str, &str) = (
    r#".TH DORMOUSE\-STATUS 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-status \- see and steer what sleeps
.SH SYNOPSIS
.B dormouse status
[\fIOPTIONS\fR...] [\fINAME\fR...]
.br
.B dormouse wake
| sleep | freeze | thaw | drain | explain [\fB\-\-control=\fIPATH\fR] \fINAME\fR...
.SH DESCRIPTION
Talks to a running \fBdormouse\-run\fR(8) at its control socket (control in \fBdormouse.toml\fR(5)).
.PP
\fBdormouse status\fR shows a table: services, states, since when, sessions, clients that wait, how long the last start
took, and what happens next if nobody comes. With names, only those. A state is that of what sleeps (stopped, starting,
ready, idle, freezing, frozen, thawing, stopping, failed), or up, and where no server takes new clients: down, drain,
maint, or vacant, which is a name (dns:, srv:) without servers. Vacant slots are counted in one line.
.TP
\fBdormouse wake\fR \fINAME\fR
Start or thaw it. It sleeps again by its rules.
.TP
\fBdormouse sleep\fR \fINAME\fR
Stop it, if nobody uses it or waits for it.
.TP
\fBdormouse freeze\fR \fINAME\fR, \fBdormouse thaw\fR \fINAME\fR
Freeze it, if nobody uses it or waits for it; thaw it.
.TP
\fBdormouse drain\fR \fINAME\fR
Give it no new sessions, and put it to sleep when the last one has ended, before its minimum uptime, too; but not what
is kept warm at that time, or what somebody else has started. "enable server" on the control socket ends that.
.TP
\fBdormouse explain\fR \fINAME\fR
Say why it is awake or asleep, who woke it, what holds it, what happens next and when.
.PP
A \fINAME\fR is a service, or \fISERVICE\fR/\fISERVER\fR. One that there is not is told on standard error.
.SH OPTIONS
"#,
    r#".SH CONTROL SOCKET
A client sends a line and gets the answer and an empty line; then the connection ends. After "prompt" it stays, and more
lines may follow. Several commands stand in a line with ';' between them. At most ten clients are served at a time, and one
that says or takes nothing for 10 seconds is left (set timeout cli). The words are those of HAProxy's stats socket, and
tools that were made for it find figures in the places that they know:
.PP
.nf
show info [typed|json]          show sess [ID|all]
show stat [PROXY KINDS SERVER] [typed|json] [up] [no\-maint]
show servers state [SERVICE]    show backend
show version                    show errors
enable server SERVICE/SERVER    disable server SERVICE/SERVER
set server SERVICE/SERVER state ready|drain|maint
set server SERVICE/SERVER weight N|N%
set weight SERVICE/SERVER N|N%  get weight SERVICE/SERVER
set maxconn frontend SERVICE N  set maxconn server SERVICE/SERVER N
shutdown session ID             shutdown sessions server SERVICE/SERVER
clear counters                  set timeout cli SPAN
help, prompt, quit
.fi
.PP
A weight is a number from 0 to 256, or a percentage of the configured one. A maxconn of 0 takes a server's limit away. One
server without rules of its own (weight, maxconn, check) has neither.
.PP
Each service is a frontend and a backend of the same name. What sleeps would take a client, and is told as UP. A slot for a
server by name (dns:, srv:) that nobody has is told as MAINT; what is said of a slot (state, drain) is kept for whoever
has it next. Of our own
are the words above (wake, sleep, freeze, thaw, drain, explain) and
.PP
.nf
show services [json]
.fi
.SH EXIT STATUS
0 if all was done. 1 if something was not, or nobody answers.
.SH FILES
/run/dormouse/control.sock, $XDG_RUNTIME_DIR/dormouse/control.sock
.SH EXAMPLES
.nf
dormouse status \-\-watch
dormouse explain web
echo 'show stat' | socat stdio unix\-connect:/run/dormouse/control.sock
.fi
.SH SEE ALSO
\fBdormouse\-top\fR(8), \fBdormouse\-run\fR(8), \fBdormouse.toml\fR(5)
"#,
);

#[cfg(test)]
mod tests {
    use dormouse_core::control::HELP;

    use super::*;

    /// The words of a command that are written as they are.
    fn words(form: &str) -> &str {
        let end = form.find(['<', '[', '(']).unwrap_or(form.len());
        form.get(..end).unwrap_or_default().trim()
    }

    #[test]
    fn the_page_has_each_command_that_the_socket_knows() {
        let page = [STATUS.0, STATUS.1].concat().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        for usage in HELP {
            assert!(page.contains(words(usage.syntax)), "{}", usage.syntax);
        }
        assert_eq!(words("set maxconn server <bk>/<srv>"), "set maxconn server");
    }
}
