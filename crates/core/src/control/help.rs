//! The help text of the control socket.

/// The help for one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandHelp {
    /// The syntax of the command.
    pub syntax: &'static str,
    /// What the command does.
    pub description: &'static str,
}

const fn help(syntax: &'static str, description: &'static str) -> CommandHelp {
    CommandHelp { syntax, description }
}

/// All commands, in the order of the help.
pub const HELP: &[CommandHelp] = &[
    help("clear counters", "clear max statistics counters"),
    help("disable server <bk>/<srv>", "put a server into maintenance"),
    help("drain <service>[/<srv>]", "take no new sessions; sleep when the last session ends"),
    help("enable server <bk>/<srv>", "put a server back to work"),
    help("explain <service>[/<srv>]", "show why a workload is awake or asleep, and what happens next"),
    help("freeze <service>[/<srv>]", "freeze a workload now, unless it is in use"),
    help("get weight <bk>/<srv>", "report a server's current weight"),
    help("set maxconn frontend <frontend> <value>", "change a frontend's maxconn setting"),
    help("set maxconn server <bk>/<srv>", "change a server's maxconn setting"),
    help("set server <bk>/<srv> [opts]", "change a server's state or weight"),
    help("set timeout [cli] <delay>", "change a timeout setting"),
    help("set weight <bk>/<srv>  (DEPRECATED)", "change a server's weight (use 'set server' instead)"),
    help("show backend", "list backends in the current running config"),
    help("show errors", "report last request and response errors (none)"),
    help("show info [json|typed]*", "report information about the running process"),
    help("show servers state [<backend>]", "dump volatile server information"),
    help("show services [json]", "list workloads with their states and timers"),
    help("show sess [id]", "report the list of current sessions or dump this exact session"),
    help("show stat [json|no-maint|typed|up]*", "report counters for each proxy and server"),
    help("show version", "show version of the current process"),
    help("shutdown session [id]", "kill a specific session"),
    help("shutdown sessions server <bk>/<srv>", "kill sessions on a server"),
    help("sleep <service>[/<srv>]", "stop a workload now, unless it is in use"),
    help("thaw <service>[/<srv>]", "thaw a workload now"),
    help("undrain <service>[/<srv>]", "end a drain: take new sessions again"),
    help("wake <service>[/<srv>]", "wake a workload now; its idle rules apply afterwards"),
    help("help [<command>]", "list matching or all commands"),
    help("prompt", "toggle interactive mode with prompt"),
    help("quit", "disconnect"),
];
