//! The fixed parts of dormouse-status(8).

pub(super) const STATUS: (&str, &str) = (
    r#".TH DORMOUSE\-STATUS 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-status \- show and control services
.SH SYNOPSIS
.B dormouse status
[\fIOPTIONS\fR...] [\fINAME\fR...]
.br
.B dormouse wake
| sleep | freeze | thaw | drain | undrain | explain [\fB\-\-control=\fIPATH\fR] \fINAME\fR...
.SH DESCRIPTION
Connects to a running \fBdormouse\-run\fR(8) on its control socket (control in \fBdormouse.toml\fR(5)).
.PP
\fBdormouse status\fR shows a table: services, states, for how long, sessions, waiting clients, how long the last start
took, and what happens next without a client. Names select services. Vacant slots are counted in one line. The states:
.PP
.nf
stopped     the workload does not run; the next client starts it
starting    the workload starts; clients are held
ready       the workload is in use
idle        the workload is awake and unused
freezing    the workload is being frozen
frozen      the workload is frozen; the next client thaws it
thawing     the workload is being thawed
stopping    the workload stops
failed      the last start failed
up          the server takes clients; dormouse does not start it
down        the health checks of the server fail
drain       the server takes no new sessions; it stops after the last one
maint       the server is in maintenance: it is not used and not checked
vacant      a name (dns:, srv:) has no server here
.fi
.TP
\fBdormouse wake\fR \fINAME\fR
Start or thaw the service. Its idle rules still apply. The command does not wait until the workload is ready.
.TP
\fBdormouse sleep\fR \fINAME\fR
Stop the service, unless a session uses it or a client waits for it.
.TP
\fBdormouse freeze\fR \fINAME\fR, \fBdormouse thaw\fR \fINAME\fR
Freeze the service, unless a session uses it or a client waits for it; thaw it.
.TP
\fBdormouse drain\fR \fINAME\fR
Send the service no new sessions, and stop it after the last one, even before its minimum uptime; but not during its
keep\-warm times, or if dormouse did not start it.
.TP
\fBdormouse undrain\fR \fINAME\fR
End the drain: the service gets new sessions again, and the next client wakes it. A server in maintenance stays in
maintenance; "enable server" on the control socket ends both.
.TP
\fBdormouse explain\fR \fINAME\fR
Explain why the service is awake or not, what woke it, what keeps it awake, what happens next and when.
.PP
A \fINAME\fR is a service, or \fISERVICE\fR/\fISERVER\fR. Unknown names are reported on standard error.
.SH OPTIONS
"#,
    r#".SH CONTROL SOCKET
A client sends a line and gets the answer and an empty line; then the connection ends. After "prompt" it stays, and more
lines may follow. Several commands stand in a line with ';' between them. At most ten clients are served at a time: for a
further one a client gives way that has sent no command yet, or else one at its prompt, or one that does not take its
answer. A client that sends and takes nothing for 10 seconds is disconnected (set timeout cli). The commands are those of
HAProxy's stats socket, so that its tools work:
.PP
.nf
show info [typed|json]          show sess [ID|all]
show stat [PROXY KINDS SERVER] [typed|json] [up] [no\-maint]
show servers state [SERVICE]    show backend
show version                    show errors
enable server SERVICE[/SERVER]  disable server SERVICE[/SERVER]
set server SERVICE/SERVER state ready|drain|maint
set server SERVICE/SERVER weight N|N%
set weight SERVICE/SERVER N|N%  get weight SERVICE/SERVER
set maxconn frontend SERVICE N  set maxconn server SERVICE/SERVER N
shutdown session ID             shutdown sessions server SERVICE/SERVER
clear counters                  set timeout cli SPAN
help, prompt, quit
.fi
.PP
A weight is a number from 0 to 256, or a percentage of the configured one. A maxconn of 0 takes a server's limit away. A single server without weight,
maxconn or check has no weight and no maxconn to set.
.PP
Each service is a frontend and a backend of the same name. A stopped server would take a client, and is reported as
UP. A vacant slot of a server by name (dns:, srv:) is reported as MAINT; the administrative state of a slot is kept for the
server that has it next. Commands of dormouse alone
are the words above (wake, sleep, freeze, thaw, drain, undrain, explain) and
.PP
.nf
show services [json]
.fi
.SH EXIT STATUS
0 on success. 1 if a part failed, or the control socket does not answer.
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

    /// Returns the fixed words of a command.
    fn words(form: &str) -> &str {
        let end = form.find(['<', '[', '(']).unwrap_or(form.len());
        form.get(..end).unwrap_or_default().trim()
    }

    #[test]
    fn the_page_contains_each_command_of_the_control_socket() {
        let page = [STATUS.0, STATUS.1].concat().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        for usage in HELP {
            assert!(page.contains(words(usage.syntax)), "{}", usage.syntax);
        }
        assert_eq!(words("set maxconn server <bk>/<srv>"), "set maxconn server");
    }
}
