//! What stands around the definitions in the manual pages: a head and a tail each.

pub(super) const PROXY: (&str, &str) = (
    r#".TH DORMOUSE\-PROXY 8 "" "dormouse" "dormouse"
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
"#,
    r#".PP
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
"#,
);

pub(super) const RUN: (&str, &str) = (
    r#".TH DORMOUSE\-RUN 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-run \- serve what sleeps until somebody connects
.SH SYNOPSIS
.B dormouse run
[\fB\-\-config=\fIFILE\fR] [\fB\-\-log\-level=\fILEVEL\fR] [\fB\-\-control=\fIPATH\fR] [\fB\-\-http=\fIADDRESS\fR]
.br
.B dormouse run
\fB\-\-listen=\fIADDRESS\fR \fB\-\-to=\fIADDRESS\fR [\fIOPTIONS\fR...]
.SH DESCRIPTION
Listens in the place of services that sleep. When somebody connects, the client is held, what is behind is woken (a
program, a systemd unit, a container, commands of your own, a machine that a packet wakes), and the client is passed on
the moment it answers. When nobody needs it any more, it is frozen or stopped. One start is under way however many
clients wait. After a start that failed, the next client starts it again, after a pause that grows from 1 s to 60 s.
.PP
The services stand in a file, \fBdormouse.toml\fR(5). One service needs no file: flags say the same. What is wrong with
either is told all at once, and \fBdormouse\-check\fR(8) tells it without starting anything.
.SH OPTIONS
"#,
    r#".PP
A \fISPAN\fR is a time span as in \fBsystemd.time\fR(7), for example "1min 30s"; a number alone is seconds. For the
timeouts of sessions and addresses, 0 and infinity mean none. A \fICOMMAND\fR is split as a shell would, quotes
honoured, but no shell runs it: write sh \-c '...' where you need one.
.SH RELOAD
On SIGHUP, which \fBdormouse\-reload\fR(8) and \fBsystemctl reload\fR send, the configuration is read anew and checked
whole. If something is wrong with it, or an address cannot be had, nothing changes; the log and the service manager's
status say why. Otherwise only what differs is touched:
.IP \(bu 2
Listeners, sessions, waiting clients and servers of a service that is the same notice nothing.
.IP \(bu 2
A service that has changed keeps its listeners where the address is the same; nobody is refused meanwhile. Its old
sessions go on under the old rules, for at most \fB\-\-drain\-timeout=\fR. A server that is awake is not restarted.
Another way to wake it counts from its next start, which comes soon: it is put to sleep as soon as nobody uses it.
.IP \(bu 2
A UNIX socket whose file somebody has removed is opened anew.
.IP \(bu 2
What an administrator has said of a server (drain, disable, enable) goes on for the server of the same name in the service
of the same name, whatever else has changed. So does a weight that was set at the control socket, while the same one is
configured; limits that were set there go on only where the service has not changed.
.IP \(bu 2
A service that is gone accepts nobody any more. When its sessions have ended, what it has woken is put to sleep.
.IP \(bu 2
The control socket and the web address stay open where the address is the same, and whoever is connected there too.
The format and level of the log change at once.
.PP
What is new is opened before what is old is closed, except where one is in the way of the other (an address and all
addresses, at the same port): then nobody is let in there for a moment, and the old one is opened again if the new one
cannot be.
.SH JOURNAL
Where standard error is the journal (\fBsystemd\-journald.service\fR(8)), lines are entries with fields:
SYSLOG_IDENTIFIER=dormouse on all, DORMOUSE_SERVICE on those of a service, and on those of sessions also
DORMOUSE_CLIENT, DORMOUSE_SERVER, DORMOUSE_BYTES_UP, DORMOUSE_BYTES_DOWN, DORMOUSE_HELD_USEC, DORMOUSE_LASTED_USEC,
DORMOUSE_END, DORMOUSE_SIDE and DORMOUSE_TERMINATION. For example \fBjournalctl DORMOUSE_SERVICE=web\fR.
.SH RESTART
Sockets of socket units (fd:NAME) outlive a restart, and who connects meanwhile waits in them. Sockets that it opens
itself do so where the service manager keeps descriptors for it: with FileDescriptorStoreMax= in its unit, and
Environment=FDSTORE= with the same number where the manager is older than systemd 254 and does not say so itself. Then
the files of UNIX sockets are left where they are at the end.
.PP
What it has woken is put to sleep at its end. After a crash it is known to be its own, and is put to sleep in time:
what it has woken is written down in the manager's store, too, or else in RUNTIME_DIRECTORY (RuntimeDirectory= with
RuntimeDirectoryPreserve=restart). Programs that it has started itself (\fBexec\fR) do not outlive it.
A service of commands that can be frozen is thawed first, as nobody knows whether it was frozen: its thaw command must do
no harm to what is not.
.SH EXIT STATUS
0 when told to stop. On failure a status of sysexits.h, by which RestartPreventExitStatus= can tell what another start
would not mend: 78 (CONFIG) the configuration is wrong; 77 (NOPERM) it may not listen there; 69 (UNAVAILABLE) an address
is taken or not there; 73 (CANTCREAT) a socket cannot be made; 71 (OSERR) the system has nothing left, or passed what is
no socket; 74 (IOERR) a listener failed.
.SH SIGNALS
.TP
SIGHUP
Read the configuration anew.
.TP
SIGTERM, SIGINT, SIGUSR1
Stop accepting, wait for \fB\-\-drain\-timeout=\fR, put to sleep what was woken, end. A second one ends at once.
.SH ENVIRONMENT
LISTEN_FDS, LISTEN_PID, LISTEN_PIDFDID, LISTEN_FDNAMES (\fBsd_listen_fds\fR(3)); NOTIFY_SOCKET (\fBsd_notify\fR(3));
WATCHDOG_USEC, WATCHDOG_PID (\fBsd_watchdog_enabled\fR(3)); SYSTEMD_LOG_LEVEL; JOURNAL_STREAM; FDSTORE; RUNTIME_DIRECTORY.
.SH FILES
/etc/dormouse/dormouse.toml, /etc/dormouse/services.d/*.toml
.SH EXAMPLES
A web server that runs while somebody uses it, and for ten minutes longer:
.PP
.nf
dormouse run \-\-listen=127.0.0.1:8080 \-\-to=127.0.0.1:9000 \e
    \-\-exec='python3 \-m http.server \-\-bind 127.0.0.1 9000' \-\-idle=10min
.fi
.PP
A container that is frozen after a minute and stopped after half an hour:
.PP
.nf
dormouse run \-\-listen='*:80' \-\-to=127.0.0.1:8080 \-\-container=httpd \-\-ready=healthy \e
    \-\-freeze=1min \-\-idle=30min
.fi
.SH SEE ALSO
\fBdormouse.toml\fR(5), \fBdormouse\-check\fR(8), \fBdormouse\-reload\fR(8), \fBdormouse\-status\fR(8),
\fBdormouse\-proxy\fR(8),
\fBsystemd.time\fR(7)
"#,
);

pub(super) const RELOAD: (&str, &str) = (
    r#".TH DORMOUSE\-RELOAD 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-reload \- have a running dormouse read its configuration anew
.SH SYNOPSIS
.B dormouse reload
[\fB\-\-pid=\fIPID\fR]
.SH DESCRIPTION
Sends SIGHUP to a running \fBdormouse\-run\fR(8), which then reads its configuration anew, checks it whole, and puts it
into effect, or leaves everything as it is and says in its log what is wrong. \fBdormouse\-check\fR(8) says that
beforehand.
.PP
This does not wait for the outcome. \fBsystemctl reload\fR does, where the unit has
.PP
.nf
Type=notify
NotifyAccess=exec
ExecReload=/usr/bin/dormouse reload
.fi
.PP
Then the service manager is told here that a reload begins (RELOADING=1), and by the running one that it is done,
whatever came of it. With systemd 253 and later, Type=notify\-reload alone does the same.
.SH OPTIONS
"#,
    r".SH EXIT STATUS
0 if a process was told. 1 if there is none, or not just one, or it is another user's.
.SH ENVIRONMENT
MAINPID, as in ExecReload= (\fBsystemd.service\fR(5)); with it also NOTIFY_SOCKET (\fBsd_notify\fR(3)).
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8)
",
);

pub(super) const CHECK: (&str, &str) = (
    r#".TH DORMOUSE\-CHECK 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-check \- say all that is wrong with a configuration, or what it would do
.SH SYNOPSIS
.B dormouse check
[\fIFILE\fR]
.SH DESCRIPTION
Reads the file as \fBdormouse\-run\fR(8) would: /etc/dormouse/dormouse.toml and services.d/*.toml beside it unless told.
If something is wrong, all of it is told on standard error, a line each, as
.PP
.nf
FILE:LINE: KEY: what is wrong; what to do
.fi
.PP
Otherwise what would be opened, started and stopped is told on standard output, service by service. Nothing is opened or
started. What somebody should look at, but does not keep it from starting, is told on standard error and marked
(warning): among it a container that a Quadlet makes, which is better woken as its unit; the container engine is asked
for that, if it runs.
.SH OPTIONS
"#,
    r".SH EXIT STATUS
0 if it could be started, with warnings or without. 1 if something is wrong.
.SH FILES
/etc/dormouse/dormouse.toml, /etc/dormouse/services.d/*.toml
.SH SEE ALSO
\fBdormouse.toml\fR(5), \fBdormouse\-run\fR(8)
",
);

pub(super) const TOML: (&str, &str) = (
    r#".TH DORMOUSE.TOML 5 "" "dormouse" "dormouse"
.SH NAME
dormouse.toml \- configuration file of dormouse
.SH SYNOPSIS
/etc/dormouse/dormouse.toml
.br
/etc/dormouse/services.d/*.toml
.SH DESCRIPTION
\fBdormouse\-run\fR(8) reads its services from this TOML file (https://toml.io). It also reads the files in services.d, in
the order of their names. Each of them has the same layout, or consists of the keys of one service, which gets the name
of the file. A file that is named with \fB\-\-config=\fR is read alone.
.PP
Unknown keys are errors. \fBdormouse\-check\fR(8) reports all errors, and shows what a configuration does.
.PP
A time span is a string as in \fBsystemd.time\fR(7), for example "1min 30s", or a number of seconds; "infinity" means no
limit. A command is a string, which is split as by a shell with its quotes, or a list of words. No shell runs the
command; use ["sh", "\-c", "..."] where one is needed.
"#,
    r#".SH EXAMPLE
.nf
[services.web]
listen = ["*:80", "unix:/run/web.sock?mode=0660"]
to     = "127.0.0.1:8080"
wake   = { unit = "nginx.service" }
hold   = { timeout = "30s", max = 1024 }
idle   = { freeze = "1min", stop = "30min" }
.fi
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8), \fBsystemd.time\fR(7)
"#,
);
