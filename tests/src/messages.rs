//! The log lines and messages of dormouse that tests look for. Each has one constant or function, so that a new
//! wording changes only this file and the program.
//!
//! Texts that are a contract (the words of `HAProxy`'s command line, the messages of systemd-socket-proxyd) stay in
//! their tests. Each text here is a part of its line.

use std::net::SocketAddr;

// Listeners.

/// Dormouse listens; an address and a service follow.
pub const LISTENING: &str = "Listening on";
/// The address of a listener is taken.
pub const ADDRESS_IN_USE: &str = "another program listens on it";
/// What to do about a TCP address that is taken.
pub const TCP_ADDRESS_IN_USE: &str = "another program listens on it; find it with ss -ltnp";
/// What to do about a UNIX socket that is taken.
pub const UNIX_ADDRESS_IN_USE: &str = "another program listens on it; find it with ss -lxp";
/// The directory of a UNIX socket is missing.
pub const NO_SOCKET_DIRECTORY: &str = "its directory does not exist; RuntimeDirectory=";
/// The directory of a UNIX socket is refused, because every user may write to it; the directory follows.
pub const EVERY_USER_MAY_WRITE: &str = "every user may write to";
/// The interface of a listener cannot be bound to.
pub const CANNOT_BIND_TO_INTERFACE: &str = "bind to the interface: ";
/// The web page and the metrics are served; an address follows.
pub const PAGE_IS_AT: &str = "The page and the metrics are at";

/// Accepting clients fails and is repeated later; the reason follows.
pub const CANNOT_ACCEPT: &str = "Cannot accept clients: ";
/// So many descriptors wait to be closed that clients of UNIX listeners wait, too.
pub const CLOSER_IS_FULL: &str = " descriptors that clients passed wait to be closed";

/// Dormouse listens on this address.
pub fn listening_on(address: &str) -> String {
    format!("{LISTENING} {address}")
}

/// No service listens on the passed socket of this name.
pub fn unused_socket(name: &str) -> String {
    format!("No service uses the passed socket \"{name}\"")
}

/// The TCP address in a line about a listener, of `service` if one is given.
pub fn listening_address(line: &str, service: Option<&str>) -> Option<SocketAddr> {
    let (_, line) = line.split_once("Listening on ")?;
    let (address, rest) = line.split_once(' ')?;
    let is_of = |service: &str| rest.starts_with(&format!("for {service} ("));
    address.replace('*', "[::]").parse().ok().filter(|_| service.is_none_or(is_of))
}

// The states of workloads and servers.

/// A workload changes between these states.
pub fn state(from: &str, to: &str) -> String {
    format!("{from} → {to}")
}

/// The workload of this name changes between these states.
pub fn state_of(workload: &str, from: &str, to: &str) -> String {
    format!("{workload}: {from} → {to}")
}

/// A stopped workload starts for one client.
pub const STARTS_FOR_ONE_CLIENT: &str = "stopped → starting, 1 client waits";

/// A workload changes to this state.
pub fn state_to(to: &str) -> String {
    format!("→ {to}")
}

/// A workload starts.
pub const STARTING: &str = "→ starting";
/// A workload stops.
pub const STOPPING: &str = "→ stopping";
/// A workload has stopped.
pub const STOPPED: &str = "→ stopped";
/// A workload is frozen.
pub const FROZEN: &str = "→ frozen";
/// A workload has failed.
pub const FAILED: &str = "→ failed";
/// A workload is ready; the time that its start took follows.
pub const READY: &str = "ready after";

/// This workload is ready.
pub fn ready(workload: &str) -> String {
    format!("{workload}: {READY}")
}

/// This workload is ready and has no sessions.
pub fn idle(workload: &str) -> String {
    format!("{workload}: idle after")
}

/// This server fails its checks.
pub fn down(server: &str) -> String {
    format!("{server}: UP → DOWN")
}

/// This server passes its checks again.
pub fn up(server: &str) -> String {
    format!("{server}: DOWN → UP")
}

/// The workload wrote this line to its output.
pub fn output(workload: &str, line: &str) -> String {
    format!("{workload}| {line}")
}

/// A program of `exec` runs as root, and the configuration does not say that it should.
pub const RUNS_AS_ROOT: &str = "wake.exec: runs as root, because dormouse does; set wake.user";

// The confinement of programs.

/// A confined program shares the IPC objects of others.
pub const NO_OWN_IPC: &str = ": sandbox: no System V IPC of its own (";
/// The limit of descriptors is too low for a program; its name follows somewhere.
pub const TOO_FEW_DESCRIPTORS: &str = "descriptors is too low to watch over its processes";
/// What to do about a limit of descriptors.
pub const RAISE_DESCRIPTORS: &str = "LimitNOFILE=";
/// A part of the confinement of a program is missing.
pub const UNCONFINED: &str = ": sandbox: ";
/// A confined program keeps the user of dormouse.
pub const KEEPS_USER: &str = ": sandbox: the program runs as the user of dormouse";
/// A confined program has no /tmp of its own.
pub const NO_PRIVATE_TMP: &str = ": sandbox: no private /tmp (";
/// The files of a confined program are not restricted.
pub const NO_LANDLOCK: &str = ": sandbox: no Landlock (";
/// A confined program can change the limits of dormouse.
pub const NO_FILTER: &str = ": sandbox: no filter of system calls (";
/// The kernel restricts a confined program only in part.
pub const OLD_LANDLOCK: &str = ": sandbox: Landlock of this kernel is older";
/// A confined program may not create its socket; the directory and the remedy follow.
pub const NO_SOCKET_FOR_USER: &str = " may not create a socket in ";
/// A confined program is not started, because its user may not enter its directory.
pub const MAY_NOT_ENTER: &str = " may not enter ";
/// A path has a link that another user may have placed.
pub const LINK_OF_OTHERS: &str = " is a symbolic link of ";

// Why a workload does not run.

/// dormouse ends, and waits for these workloads; the names follow.
pub const STOPPING_WORKLOADS: &str = " s each (stop_timeout): ";
/// dormouse ends.
pub const ENDING: &str = "Ending";
/// The socket of a server does not let dormouse in.
pub const NOT_LET_IN: &str = "Permission denied (os error 13); let the user of dormouse connect";
/// A process ignored SIGTERM for the stop timeout of 200 ms, and was killed.
pub const KILLED_LATE: &str = "did not end within 0.2 s of SIGTERM (stop_timeout), and is killed";
/// A process was killed by SIGKILL.
pub const KILLED: &str = "killed by SIGKILL";
/// The guard of a process was killed.
pub const GUARD_KILLED: &str = "its guard was killed";
/// Several runs in a row ended at once and served nobody. Their number stands before it.
pub const ENDED_AT_ONCE: &str =
    "runs in a row ended as soon as they were ready, without an answer to a client";
/// The program of a service cannot be executed.
pub const CHECK_THE_PATH: &str = "check the path";
/// The kernel allows no more processes.
pub const NO_MORE_PROCESSES: &str = "the limit of processes is reached";
/// Another program or person stopped the workload.
pub const STOPPED_BY_OTHERS: &str = "was stopped by another program";
/// A process ended before it was ready.
pub const ENDED_BEFORE_READY: &str =
    "→ failed: it exited with code 0 before it was ready; exec must run the server itself";
/// The workload must be thawed.
pub const TO_BE_THAWED: &str = "cannot thaw it";
/// A listener that does not belong to the workload gets no client.
pub const REFUSED_LISTENER: &str = "; no client is sent there. ";
/// How flags send clients to a listener that does not belong to the workload.
pub const ALLOW_LISTENER_BY_FLAG: &str = "or write --foreign-listener=allow if";
/// A listener that appeared after the start does not belong to the workload, and gets its clients.
pub const FOREIGN_LISTENER: &str = "; clients are sent there, because that process began to listen after";

/// A listener at `address` gets no client; its process follows.
pub fn refused_listener_at(address: &str) -> String {
    format!("{address} belongs to ")
}

/// The listener of process `pid` at `address` gets no client; the name of the process follows.
pub fn refused_listener(address: &str, pid: u32) -> String {
    format!("{address} belongs to process {pid} (")
}

/// The listener of a process of this user, which dormouse may not see, gets no client.
pub fn refused_listener_of_user(address: &str, uid: u32) -> String {
    format!("{address} belongs to a process of uid {uid}, ")
}

/// The wake state cannot be saved.
pub const CANNOT_SAVE_WAKE_STATE: &str = "Cannot save the wake state";

/// The main process of a unit was killed by SIGKILL.
pub const UNIT_KILLED: &str = "killed by signal 9 (SIGKILL)";
/// A container was killed by SIGKILL.
pub const CONTAINER_KILLED: &str = "exit code 137";
/// Another program has paused the container.
pub const PAUSED_BY_OTHERS: &str = "another program has paused it";
/// Where to read about the failure of web.service.
pub const SEE_JOURNAL_OF_WEB: &str = "-u web.service`";
/// The user's manager has no unit of this name.
pub const NO_SUCH_UNIT: &str = "no such unit; list units with `systemctl --user list-unit-files`";
/// What to allow if the manager refuses a request.
pub const ALLOW_MANAGE_UNITS: &str = "org.freedesktop.systemd1.manage-units";
/// The unit failed, and the manager restarts it.
pub const MANAGER_RESTARTS_IT: &str = "the manager restarts it";
/// The unit did not stop within its stop timeout of one second.
pub const KILLING_UNIT: &str = "did not stop within 1 s; killing it";

/// A process exited with this code.
pub fn exit_code(code: i32) -> String {
    format!("it exited with code {code}")
}

/// The main process of a unit exited with this code.
pub fn unit_exited(code: i32) -> String {
    format!("result exit-code: its main process exited with {code}")
}

/// The program of this workload cannot be started; the reason follows.
pub fn start_failed(workload: &str, program: &str) -> String {
    format!("{workload}: starting → failed: Failed to start {program}")
}

/// This workload was not ready within this number of seconds.
pub fn start_timeout(workload: &str, seconds: &str) -> String {
    format!("{workload}: starting → stopping: it was not ready within {seconds} s (start_timeout)")
}

/// The health check of this server did not get its answer.
pub fn check_failed(server: &str) -> String {
    format!("{}: the health check did not get the expected answer", down(server))
}

/// A process exited with this code; its output ended with this text.
pub fn exited(code: i32, last_output: &str) -> String {
    format!("ended: it exited with code {code}; its last output was \"{last_output}\"")
}

/// The start command exited with this code; its output ended with this text.
pub fn start_command_failed(code: i32, last_output: &str) -> String {
    format!("the start command failed: it exited with code {code}; its last output was \"{last_output}\"")
}

// Clients.

/// A session; its client follows.
pub const SESSION_FROM: &str = "Session from";
/// A client was not served; the reason follows.
pub const NOT_SERVED: &str = "not served";
/// A client was refused at once.
pub const REFUSED: &str = "Refused";
/// A client left before it was served.
pub const CLIENT_LEFT: &str = "client left";
/// A client that was not served because it left.
pub const NOT_SERVED_LEFT: &str = "not served: the client left";
/// A client left before a server took its session.
pub const LEFT_UNSERVED: &str = "the client left before it was served";
/// The line at the level info about clients that may not wake the service; the address of one follows.
pub const CLIENT_MAY_NOT_WAKE: &str = "The service sleeps, and the client";

/// A client that may not wake the service connected while the service was asleep.
pub const MAY_NOT_WAKE: &str = "this client may not wake it";
/// A client was held for longer than its hold timeout.
pub const NOT_READY_IN_TIME: &str = "the service was not ready within hold.timeout";
/// The limit of held clients is reached.
pub const TOO_MANY_HELD: &str = "the hold queue is full";
/// An administrator ended a session.
pub const ENDED_BY_ADMINISTRATOR: &str = "terminated by an administrator";
/// A client does not begin with a PROXY header.
pub const NO_PROXY_HEADER: &str = "no PROXY header at the start of the connection (enable the header there";
/// Log lines were lost because the log sink accepted none.
pub const LINES_LOST: &str = "lost: the reader is too slow";
/// The resolver has no free thread.
pub const NO_THREAD: &str = "cannot start a thread";

/// A client sent nothing, and only data wakes the service; the time follows.
pub const CLIENT_SILENT: &str = "not served: the client sent nothing for";

/// A listener lets in more users than the socket of the server.
pub const WIDER: &str = "gets the rights of dormouse's user at";
/// The credentials of clients cannot be passed.
pub const NEEDS_SETUID: &str = "CAP_SETUID and CAP_SETGID";
/// A program cannot run as another user.
pub const NEEDS_ANOTHER_USER: &str = "CAP_SETUID, CAP_SETGID and CAP_KILL";
/// This setting, which makes a program run as another user, needs these capabilities.
pub fn user_needs(setting: &str, capabilities: &str) -> String {
    format!("main: {setting} needs {capabilities}")
}

/// The user of a program may not enter a directory, or execute a program; what follows.
pub const USER_MAY_NOT: &str = "the user 64321 may not ";
/// The clients of a passed socket have no credentials.
pub const PASSED_SOCKET_IS_NOT_UNIX: &str = "is not a UNIX socket";

/// The socket of the server does not let in the user of a client.
pub fn refused_as(user: u32) -> String {
    format!("Permission denied (os error 13) (as user {user}, peer_credentials)")
}

/// This client was refused before it was served.
pub fn refused(client: &str) -> String {
    format!("{NOT_SERVED}: {REFUSED} {client}")
}

/// A client sent no PROXY header within this number of seconds.
pub fn no_proxy_header_within(seconds: &str) -> String {
    format!("no PROXY header within {seconds} s")
}

/// A session of this client of this service that was held and then reached a server.
pub fn session_held(service: &str, client: &str) -> String {
    format!("{service}: Session from {client}: held")
}

/// A session of this client.
pub fn session_from(client: &str) -> String {
    format!("{SESSION_FROM} {client}")
}

/// A session ended for this reason.
pub fn session_ended(why: &str) -> String {
    format!("bytes down: {why}")
}

// The configuration.

/// The configuration is a pipe.
pub const IS_A_PIPE: &str = "is a pipe, not a regular file; save the configuration in a file";

// Reloads.

/// A reload is done.
pub const RELOADED: &str = "The configuration was reloaded";
/// A reload failed.
pub const NOT_RELOADED: &str = "was not reloaded";
/// A reload needs something that the running process has given up.
pub const NEEDS_RESTART: &str = "needs a restart";
/// A reload changes whether the process restricts itself.
pub const RESTRICTIONS_AT_RESTART: &str = "restrict_self: changes at a restart";
/// The kernel has no Landlock.
pub const FILES_UNRESTRICTED: &str = "Files are not restricted: ";
/// The process that starts programs was killed.
pub const SPAWNER_ENDED: &str =
    "The spawner, which starts programs for dormouse, has ended: it was killed by SIGKILL";
/// A program cannot be started after that.
pub const SPAWNER_GONE: &str = "the spawner has ended; restart dormouse";
/// A reload failed before anything was changed.
pub const NOTHING_CHANGED: &str = "was not reloaded and nothing has changed";
/// The new configuration is applied by a restart alone.
pub const RESTART_TO_APPLY: &str = "was not reloaded and nothing has changed. Restart dormouse to apply it.";
/// A session of the previous configuration was ended.
pub const OLD_SESSION_ENDED: &str = "closed 1 session from before the reload";

/// A reload is done, with these numbers of services.
pub fn reloaded(counts: &str) -> String {
    format!("{RELOADED}: {counts}")
}
