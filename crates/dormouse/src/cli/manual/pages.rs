//! The fixed parts of the manual pages: a head and a tail each, around the generated definitions.

pub(super) const PROXY: (&str, &str) = (
    r#".TH DORMOUSE\-PROXY 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-proxy \- forward connections to one target, and hold them until it answers
.SH SYNOPSIS
.B dormouse proxy
[\fIOPTIONS\fR...] \fIHOST\fR:\fIPORT\fR
.br
.B dormouse proxy
[\fIOPTIONS\fR...] \fI/PATH\fR | @\fIABSTRACT\fR | vsock:\fICID\fR:\fIPORT\fR
.SH DESCRIPTION
Accepts connections on the sockets that the service manager passes, or on \fB\-\-listen=\fR, connects each to the target,
and forwards bytes both ways until both sides have ended. While the target does not answer yet, clients are held.
.PP
\fBdormouse proxy\fR takes the place of \fBsystemd\-socket\-proxyd\fR(8): called by that name, or as \fBdormouse proxy\fR, it takes the
same options, and a unit that ran the one runs the other with only the path changed.
.PP
The target is an IPv4 or IPv6 address (with or without brackets) or a name, with a port or a service name, 80 if there
is none; the path of a UNIX socket; an abstract UNIX name; or a vsock port. A target that can never work is refused at
start.
.PP
With an Accept=yes socket unit the one connection that is passed in is served, and the program exits.
.PP
A target on a UNIX socket that asks for the user of its client sees the user that the program runs as, for every client.
See CREDENTIALS in \fBdormouse.toml\fR(5).
.SH OPTIONS
"#,
    r#".PP
A \fISPAN\fR is a time span as in \fBsystemd.time\fR(7), for example "1min 30s"; a number alone is seconds. For the
timeouts of sessions and addresses, 0 and infinity mean none.
.SH EXIT STATUS
0 on success: stopped by a signal, idle, or the only session has ended. 1 on failure.
.SH SIGNALS
.TP
SIGTERM, SIGINT
Stop accepting, wait for \fB\-\-drain\-timeout=\fR, and exit. A second signal exits at once.
.SH ENVIRONMENT
LISTEN_FDS, LISTEN_PID, LISTEN_PIDFDID, LISTEN_FDNAMES (\fBsd_listen_fds\fR(3)); NOTIFY_SOCKET (\fBsd_notify\fR(3));
WATCHDOG_USEC, WATCHDOG_PID (\fBsd_watchdog_enabled\fR(3)); SYSTEMD_LOG_LEVEL; JOURNAL_STREAM.
.SH EXAMPLE
A web server that listens on /run/nginx/socket starts on the first connection to port 80, and stops after five minutes
without one:
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
dormouse\-run \- start services on the first connection and stop them when idle
.SH SYNOPSIS
.B dormouse run
[\fB\-\-config=\fIFILE\fR] [\fB\-\-log\-level=\fILEVEL\fR] [\fB\-\-log=\fIFORMAT\fR] [\fB\-\-control=\fIPATH\fR]
[\fB\-\-http=\fIADDRESS\fR] [\fB\-\-http\-host=\fINAME\fR] [\fB\-\-drain\-timeout=\fISPAN\fR]
.br
.B dormouse run
\fB\-\-listen=\fIADDRESS\fR \fB\-\-to=\fIADDRESS\fR [\fIOPTIONS\fR...]
.SH DESCRIPTION
Listens in place of services that do not run yet. On a connection dormouse holds the client, starts the workload (a
program, a systemd unit, a container, commands of your own, or a machine that a packet wakes), and forwards the client as
soon as the workload answers. When no client needs the workload, dormouse freezes or stops it. Only one start is under
way, however many clients wait. After a failed start dormouse pauses, from 1 s up to 60 s; during the pause clients are
refused. The next client after it starts the workload again. A workload that ends by itself within a second of its first
answer, more than five times in a row and without an answer to a client, has pauses, too, of at most 10 s; clients are held
meanwhile.
.PP
The services are configured in a file, \fBdormouse.toml\fR(5). One service needs no file: flags configure it. A flag stands
for a key of the file, with the same values and defaults; not every key has a flag. All errors are reported at once; \fBdormouse\-check\fR(8) reports them without starting anything.
.SH OPTIONS
"#,
    r#".PP
A \fISPAN\fR is a time span as in \fBsystemd.time\fR(7), for example "1min 30s"; a number alone is seconds. For the
timeouts of sessions and addresses, 0 and infinity mean none. A \fICOMMAND\fR is split into words as a shell does,
with quotes, but no shell runs it: write sh \-c '...' where you need one.
.PP
The earlier spellings \fB\-\-start\fR, \fB\-\-stop\fR, \fB\-\-thaw\fR and \fB\-\-status\fR of the options that end in \-command
are still accepted.
.SH RELOAD
On SIGHUP, which \fBdormouse\-reload\fR(8) and \fBsystemctl reload\fR send, the configuration is read again and checked
as a whole. If the configuration has errors, or an address is not available, nothing changes; the log and the status in
the service manager report why. Otherwise only what differs changes:
.IP \(bu 2
Listeners, sessions, waiting clients and servers of an unchanged service are not interrupted.
.IP \(bu 2
A changed service keeps its listeners where the address is the same; no client is refused meanwhile. Its old
sessions continue under the old rules, for at most \fB\-\-drain\-timeout=\fR. A running server is not restarted.
If the way to start it has changed, it is stopped as soon as no session uses it, and starts the new way.
.IP \(bu 2
A UNIX socket whose file was removed is opened again.
.IP \(bu 2
The administrative state of a server (drain, disable, enable) is kept for the server of the same name in the service of
the same name, whatever else has changed. A weight that was set on the control socket is kept while the configured weight
is the same; limits that were set there are kept only if the service has not changed.
.IP \(bu 2
A removed service accepts no clients. When its sessions have ended, what it started is stopped.
.IP \(bu 2
The control socket and the web address stay open where the address is the same, and so do connections to them. The
other keys of all services, such as http_hosts and the format and level of the log, apply at once.
.PP
At the end a line in the log counts the services that are unchanged, changed, new and removed, with the names of those that
are not unchanged, and names the keys of all services that have changed.
.PP
New listeners are opened before old ones are closed, except where two conflict (one address and all addresses, on the
same port): then clients are refused there for a moment, and the old listener is opened again if the new one fails.
.SH LOG
The log goes to standard error. A line that a program of \fBexec\fR or a command writes is logged as NAME| LINE, where NAME
is the service or the server, and what a program reports by STATUS= (\fBsd_notify\fR(3)) as NAME| STATUS=TEXT. In
everything that is logged or shown in a terminal, control characters and characters that are invisible or change the
direction of text are written as escapes, such as \eu{1b}. A text of more than 8 KiB is cut.
.SH JOURNAL
Where standard error is the journal (\fBsystemd\-journald.service\fR(8)), lines are entries with fields:
SYSLOG_IDENTIFIER=dormouse on all, DORMOUSE_SERVICE on those of a service, and on those of sessions also
DORMOUSE_CLIENT, DORMOUSE_SERVER, DORMOUSE_BYTES_UP, DORMOUSE_BYTES_DOWN, DORMOUSE_HELD_USEC, DORMOUSE_LASTED_USEC,
DORMOUSE_END, DORMOUSE_SIDE and DORMOUSE_TERMINATION. For example \fBjournalctl DORMOUSE_SERVICE=web\fR.
.SH RESTART
Sockets of socket units (fd:NAME) survive a restart, and clients that connect meanwhile wait in them. Sockets that
dormouse opens itself survive if the service manager keeps descriptors for it: with FileDescriptorStoreMax= in its unit,
and for systemd before 254 also Environment=FDSTORE= with the same number. Then the files of UNIX sockets are not removed
at the end.
.PP
dormouse stops what it started when it ends. After a crash it recognises what it started, and stops it in time: it
saves this wake state in the descriptor store of the service manager, or else in RUNTIME_DIRECTORY (RuntimeDirectory= with
RuntimeDirectoryPreserve=restart). Programs that it started itself (\fBexec\fR) do not survive it. A service of commands
that can be frozen is thawed first, since its state is not known: the thaw command must be harmless if it is not frozen.
.SH EXIT STATUS
0 after a signal to stop. On failure a status of sysexits.h, for RestartPreventExitStatus=: 78 (CONFIG) the configuration
has errors; 77 (NOPERM) a permission is missing, to listen or to start a program as another user; 69 (UNAVAILABLE) an address is in use or does not exist; 73
(CANTCREAT) a socket cannot be created; 71 (OSERR) the system has no resources left, or passed a descriptor that is not a
socket; 74 (IOERR) a listener failed.
.SH SIGNALS
.TP
SIGHUP
Read the configuration again.
.TP
SIGTERM, SIGINT, SIGUSR1
Stop accepting, wait for \fB\-\-drain\-timeout=\fR, stop what was started, and exit. The log says for which sessions and
workloads the exit waits. A second signal exits at once.
.SH ENVIRONMENT
LISTEN_FDS, LISTEN_PID, LISTEN_PIDFDID, LISTEN_FDNAMES (\fBsd_listen_fds\fR(3)); NOTIFY_SOCKET (\fBsd_notify\fR(3));
WATCHDOG_USEC, WATCHDOG_PID (\fBsd_watchdog_enabled\fR(3)); SYSTEMD_LOG_LEVEL; JOURNAL_STREAM; FDSTORE; RUNTIME_DIRECTORY.
.SH FILES
/etc/dormouse/dormouse.toml, /etc/dormouse/services.d/*.toml
.SH EXAMPLES
A web server that runs while clients use it, and ten minutes longer:
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
dormouse\-reload \- make a running dormouse read its configuration again
.SH SYNOPSIS
.B dormouse reload
[\fB\-\-pid=\fIPID\fR]
.SH DESCRIPTION
Sends SIGHUP to a running \fBdormouse\-run\fR(8), which then reads its configuration again, checks it as a whole, and
applies it, or changes nothing and reports the errors in its log. \fBdormouse\-check\fR(8) reports them beforehand.
.PP
The command names the process on standard output, and does not wait for the outcome. \fBsystemctl reload\fR does, if the unit contains
.PP
.nf
Type=notify
NotifyAccess=exec
ExecReload=/usr/bin/dormouse reload
.fi
.PP
Then this command notifies the service manager that a reload begins (RELOADING=1), and the running process notifies it
of the end, successful or not. With systemd 253 and later, Type=notify\-reload alone does the same.
.SH OPTIONS
"#,
    r".SH EXIT STATUS
0 if a process was signalled. 1 if there is none or more than one, or it belongs to another user.
.SH ENVIRONMENT
MAINPID, as in ExecReload= (\fBsystemd.service\fR(5)); with it also NOTIFY_SOCKET (\fBsd_notify\fR(3)).
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8)
",
);

pub(super) const CHECK: (&str, &str) = (
    r#".TH DORMOUSE\-CHECK 8 "" "dormouse" "dormouse"
.SH NAME
dormouse\-check \- check a configuration and show what it would do
.SH SYNOPSIS
.B dormouse check
[\fIOPTIONS\fR...] [\fIFILE\fR]
.SH DESCRIPTION
Reads the file as \fBdormouse\-run\fR(8) would: /etc/dormouse/dormouse.toml and services.d/*.toml beside it unless a
file is given. All errors, up to 100, are reported on standard error, one per line, as
.PP
.nf
FILE:LINE: KEY: what is wrong; what to do
.fi
.PP
An error is what prevents the start of \fBdormouse\-run\fR(8): in the file, or in the file system, such as a UNIX listener
whose directory does not exist or lets every user replace the socket. Warnings are reported in the same form and end with
(warning). dormouse starts in spite of them, but a workload may not start, or clients may get more rights than they should:
.IP \(bu 2
The program of exec or of a command, or the directory of exec, does not exist; or the user of the program may not execute
the program or enter the directory. This is judged by the permissions, and nothing is executed.
.IP \(bu 2
The directory of a UNIX listener below /run does not exist. The unit may create it (RuntimeDirectory=).
.IP \(bu 2
A setting needs capabilities that the process of \fBdormouse check\fR does not have. dormouse may have them.
.IP \(bu 2
exec starts docker or podman, although wake.container exists for that; or a container belongs to a Quadlet, whose unit is
the better workload. For the latter the container engine is asked, if it runs.
.PP
Without errors the command shows on standard output what would be opened, started and stopped, service by service.
Nothing is opened or started, and no server is contacted: whether a server that dormouse does not start is running, and
whether an address is free, is not checked.
.PP
At the end the command lists the rights that the configuration needs and that the shipped dormouse.service does not have.
See RIGHTS.
.SH OPTIONS
"#,
    r".SH RIGHTS
The shipped dormouse.service runs as the user dormouse without capabilities. It can listen on ports from 1024 and in
/run/dormouse (RuntimeDirectory=dormouse), and connect to servers. What a configuration needs beyond that is printed as a
drop-in of the unit, and as rules for polkit, each to its own file:
.PP
.nf
mkdir \-p /etc/systemd/system/dormouse.service.d
dormouse check \-\-drop\-in > /etc/systemd/system/dormouse.service.d/50\-configuration.conf
dormouse check \-\-polkit > /etc/polkit\-1/rules.d/50\-dormouse.rules
systemctl daemon\-reload
.fi
.PP
Both files follow the configuration: write them again when it names other ports, programs, paths or units. A restart of
dormouse.service applies the drop\-in; polkit reads its rules at once. To freeze and thaw units, dormouse also needs the
shipped policy for the system bus, dormouse.dbus.conf.
.TP
Ports below 1024
need CAP_NET_BIND_SERVICE. With fd:\fINAME\fR a socket unit opens the port, and dormouse needs no capability.
.TP
Units
need polkit and its rules. An alias is listed with the name of its unit.
.TP
Containers
need the group of their engine's socket. Whoever controls an engine that runs as root can become root. A container that
belongs to a unit (a Quadlet) is better started as that unit.
.TP
Programs (exec, commands)
run inside dormouse.service, as the user dormouse unless wake.user is set, and the restrictions of the unit apply to them: they
can write only to the directories that the drop\-in lists. The drop\-in lifts those restrictions with which many programs do
not run: it lets them generate code, read all of /proc, and set priorities. Add further settings of \fBsystemd.exec\fR(5)
where a program needs them.
.SH EXIT STATUS
0 if there are no errors, with warnings or without. 1 if there are errors. With \fB\-\-drop\-in\fR and
\fB\-\-polkit\fR errors of the file system are warnings.
.SH FILES
/etc/dormouse/dormouse.toml, /etc/dormouse/services.d/*.toml
.SH SEE ALSO
\fBdormouse.toml\fR(5), \fBdormouse\-run\fR(8), \fBpolkit\fR(8), \fBsystemd.exec\fR(5)
",
);

pub(super) const TOML: (&str, &str) = (
    r#".TH DORMOUSE.TOML 5 "" "dormouse" "dormouse"
.SH NAME
dormouse.toml \- services that start on demand: where they listen and what starts them
.SH SYNOPSIS
/etc/dormouse/dormouse.toml
.br
/etc/dormouse/services.d/*.toml
.SH DESCRIPTION
A TOML file (https://toml.io) that \fBdormouse\-run\fR(8) reads. The keys of all services come first (TOP LEVEL). Each
service follows as a table: a line [services.\fINAME\fR], with the keys of the service below it (SERVICES). A key of a table
in a service is written as idle = { stop = "5min" }, or idle.stop = "5min", or stop = "5min" below a line
[services.\fINAME\fR.idle]. A service listens at its addresses (listen) and forwards each client to its server (to). The
workload is what dormouse starts so that the server runs (wake).
.PP
Files in services.d beside it are read in the order
of their names; each has the same layout, or contains the keys of one service at its top, which then has the name of the
file. A file that is named with \fB\-\-config=\fR is read alone; it, too, may contain the keys of one service if its
directory is named services.d. Each file must be a regular one of at most 1 MiB. Whoever may write to a file or replace it
can run commands as the user of dormouse, which \fBdormouse\-check\fR(8) warns of.
.PP
Unknown keys are errors. \fBdormouse\-check\fR(8) reports all errors, and shows what the file means.
.PP
A time span is a string as in \fBsystemd.time\fR(7), for example "1min 30s", or a number of seconds; "infinity" is
no limit. A command is a string that is split into words as a shell does, or a list of words; no shell runs it: write
["sh", "\-c", "..."] where you need one.
"#,
    r#".SH SHARED WORKLOADS
Services and servers that name the same thing share one workload: the same unit of the same manager, the same container of the
same engine, the same machine, equal commands, or an exec with equal words, environment, directory, user, group and sandbox. So a
game and its console, or ports 80 and 443, are two services with the same wake:
.PP
.nf
[services.game]
listen = "*:25565"
to = "127.0.0.1:25566"
wake.unit = "minecraft.service"
idle.stop = "10min"

[services.console]
listen = "127.0.0.1:25575"
to = "127.0.0.1:25576"
wake.unit = "minecraft.service"
idle.stop = "10min"
.fi
.PP
A client of either service wakes the workload, which is started once. Each server is ready for itself. The workload freezes or
stops when all of its services are idle.
.IP \(bu 2
These must be equal in its services: ready, settle, exclusive, and start_timeout, stop_timeout and stop_foreign of wake.
.IP \(bu 2
These add up: the longest idle.stop, idle.freeze and idle.minimum_uptime count, and each window of idle.keep_warm. A service
without idle keeps the workload awake. \fBdormouse\-check\fR(8) shows which services share a workload, and whose time counts.
.IP \(bu 2
Everything else is the service's own: the clients that may wake it (wake.allow), hold, the limits and the timeouts of sessions.
A client that may not wake the workload is served while the clients of another service keep it awake.
.PP
The log and the variable DORMOUSE_SERVICE name a shared workload by its services (game+console); a command of ready has the name
of its own service. \fBdormouse explain\fR says which service keeps the workload awake. A workload whose services are all
drained stops when it is not in use.
.PP
Two services with the same program that are to have a process each need an exec that differs, for example by a variable in
environment. Names are compared as they are written, with .service added to a unit without a suffix: write the alias of a unit, or
the id of a container, in all services or in none. Otherwise each service takes the workload for its own, and stops it below the
sessions of the other. The same holds for engine, of which \fBdormouse\-check\fR(8) warns.
.SH LISTENERS OF OTHER PROGRAMS
While a workload sleeps, any user of the machine can listen at its TCP address. So each start finds out which process
listens there before a client is sent there. If that process does not belong to the workload, no client is sent to it, and the
log names the process.
.IP \(bu 2
exec: each listener at the address must belong to the started program or its descendants, also if they are daemons.
.IP \(bu 2
unit: if a process listens at the address before dormouse starts the unit, or if others have started the unit, the process
must belong to the unit, to a service that the unit pulls in (Requires=, Wants=, BindsTo= and others, or PartOf= the unit), to
the service manager (a socket unit) or to a container engine. If another process begins to listen after the start, clients
are sent there, and a warning is logged.
.IP \(bu 2
container: likewise, with the processes of the container and the programs by which its engine forwards ports.
.IP \(bu 2
start (commands) and wol are not judged, nor are servers on other machines and translated addresses (NAT).
.PP
Each address of a name is judged before a client gets there, also one that the name has later. Another address is used
where there is one. Set foreign_listener to "allow" where the workload lets another program listen. For a container use the key
container, not an exec of docker run. Running sessions, and
new connections to an address where the workload listens, are not judged. Without privileges dormouse cannot look into the
processes of other users; it then judges by the user and the control group of the socket.
.PP
Prefer UNIX sockets for exec where the program can use them: in a directory that only dormouse and the program may write,
for example below RuntimeDirectory=, nobody else can take their place.
.SH CONFINED PROGRAMS
With sandbox = "strict" the program of exec and all its descendants have only what a network service needs. Each part is
what the named setting of \fBsystemd.exec\fR(5) does:
.IP \(bu 2
A user and a group of its own (DynamicUser=) where user is not set: a number from 61184 to 65519 that follows from the name
of the service and stays the same. No user, no group and no other service of the configuration has it. It has no entry in
/etc/passwd; \fBdormouse\-check\fR(8) shows it. The servers of a service share it.
.IP \(bu 2
No capabilities, and no way to gain any: programs such as \fBsu\fR(1) and \fBsudo\fR(8) have no effect
(NoNewPrivileges=).
.IP \(bu 2
The file system is read\-only for it (ProtectSystem=strict), by Landlock. It may write to its directory, to the directory of
the UNIX socket in to, and to null, zero, full, random, urandom and tty in /dev, as far as its user may. What its user cannot
read it cannot read.
.IP \(bu 2
/tmp, /var/tmp and /dev/shm are empty and its own (PrivateTmp=), and gone at its end. If its directory or that of its socket
is below them, it is there, too, also at the path of a link there. The file of the program itself, and those in its
arguments, must be elsewhere.
.IP \(bu 2
It cannot signal or trace processes outside, dormouse included, and connects to none of their abstract sockets. Its
session keyring is empty (KeyringMode=private), and it leaves no core dumps.
.IP \(bu 2
System V IPC and POSIX message queues are its own (PrivateIPC=), and gone at its end.
.IP \(bu 2
If it keeps the user of dormouse, it changes limits, priorities and processors (\fBprlimit\fR(2), \fBsetpriority\fR(2),
\fBsched_setaffinity\fR(2)) of itself alone, by the process ID 0. Calls with another number fail with EPERM, also with its
own, or that of one of its threads.
.PP
The network is not restricted, and the memory and the processor are not limited. Where the permissions of the control
socket let in its user, it may use that socket.
.PP
The directories must belong to its user: chown them once to the number that \fBdormouse\-check\fR(8) shows. No directory is
given away by dormouse. A directory that its user may not write to when it starts stays read\-only with all that is in it.
The program is not started in a directory that its user may not enter, nor if a part of the path is a symbolic link that
the program may have placed. A dormouse that is not root
must be able to enter the directory, too, and to connect to a socket in it: give it a common group. Without a directory of its own the program has no lasting files, and it is not started where it may not enter that of dormouse: it could serve files that nobody wanted it to serve.
.PP
A user of its own needs root, or CAP_SETUID, CAP_SETGID and CAP_KILL. Without them the program keeps the user of dormouse, and
root without them does not start. A private /tmp and IPC need root or user namespaces, in which the files of all others seem to belong to nobody. Landlock needs Linux
5.13, and 6.12 for signals and abstract sockets. What is missing is logged once, and dormouse\-check names what it can know.
The program is not started if root cannot give it another user, if it could gain privileges, or if there are too few
descriptors (LimitNOFILE=) for its rules or its guard.
.PP
For example, a program that keeps its files in /srv/web, and the command that gives them to it once:
.PP
.nf
[services.web]
listen = "*:8080"
to     = "127.0.0.1:18080"
wake   = { exec = "/usr/local/bin/wiki \-\-port 18080", sandbox = "strict", directory = "/srv/web" }
.fi
.PP
.nf
dormouse check | grep "own user"        # of its own user 65299
chown \-R 65299:65299 /srv/web
.fi
.SH PROGRAMS OF THE SAME USER
The processes of one user are not protected from each other. A program that dormouse starts with its own user can end and
trace dormouse (\fBptrace\fR(2)), read the bytes of all its clients, use its sockets and the control socket, and change
its files. The same holds between services of \fBsystemd\fR(1) with the same User=, and between those of a user manager.
Give each program another user (user or sandbox in wake), where dormouse runs as root or with CAP_SETUID and CAP_SETGID; or
start it as a unit with a User= of its own. The kernel lets no program without capabilities trace a process that has some.
.SH DIRECTORIES OF LISTENERS
A UNIX listener is refused where every user may replace its file: in or below a directory of mode 0777 without the sticky
bit, such as an emptyDir volume of Kubernetes. For such a volume:
.IP \(bu 2
let an init container that runs as root set the sticky bit: chmod 1777 and the path of the volume; or
.IP \(bu 2
without such a container, listen at 127.0.0.1:\fIPORT\fR or at an abstract address (@\fINAME\fR). The containers of a
pod share their network, and with it both. Every process of the pod can then connect.
.SH EXAMPLES
The shipped unit creates the directory /run/dormouse for its user (RuntimeDirectory=dormouse), with the permission for all
users to enter it. A unit is started for clients of port 80 and of a UNIX socket; port 80 needs the drop\-in of
\fBdormouse\-check\fR(8):
.PP
.nf
[services.web]
listen = ["*:80", "unix:/run/dormouse/web.sock?mode=0660"]
to     = "127.0.0.1:8080"
wake   = { unit = "nginx.service" }
hold   = { timeout = "30s", max = 1024 }
idle   = { freeze = "1min", stop = "30min" }
.fi
.PP
A program listens on a UNIX socket in /run/dormouse, where no other user can take its place:
.PP
.nf
[services.app]
listen = "127.0.0.1:8080"
to     = "unix:/run/dormouse/app"
wake   = { exec = ["/usr/bin/app", "\-\-socket=/run/dormouse/app"], directory = "/srv" }
idle   = "10min"
# The program does not ask for the user of its client.
peer_credentials = "own"
.fi
.SH SEE ALSO
\fBdormouse\-run\fR(8), \fBdormouse\-check\fR(8), \fBsystemd.time\fR(7)
"#,
);
