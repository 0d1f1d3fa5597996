//! What the socket knows, as it tells it.

/// A command and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What is written.
    pub form: &'static str,
    /// What it does.
    pub does: &'static str,
}

const fn usage(form: &'static str, does: &'static str) -> Usage {
    Usage { form, does }
}

/// All commands, in the order in which they are told.
pub const HELP: &[Usage] = &[
    usage("clear counters", "clear max statistics counters"),
    usage("disable server <bk>/<srv>", "put a server into maintenance"),
    usage("drain <service>[/<srv>]", "no new sessions; sleep when the last one ends"),
    usage("enable server <bk>/<srv>", "put a server back to work"),
    usage("explain <service>[/<srv>]", "why it is awake or asleep, and what happens next"),
    usage("freeze <service>[/<srv>]", "freeze it now, if nobody uses it"),
    usage("get weight <bk>/<srv>", "report a server's current weight"),
    usage("set maxconn frontend <frontend> <value>", "change a frontend's maxconn setting"),
    usage("set maxconn server <bk>/<srv>", "change a server's maxconn setting"),
    usage("set server <bk>/<srv> [opts]", "change a server's state or weight"),
    usage("set timeout [cli] <delay>", "change a timeout setting"),
    usage("set weight <bk>/<srv>  (DEPRECATED)", "change a server's weight (use 'set server' instead)"),
    usage("show backend", "list backends in the current running config"),
    usage("show errors", "report last request and response errors (none)"),
    usage("show info [json|typed]*", "report information about the running process"),
    usage("show servers state [<backend>]", "dump volatile server information"),
    usage("show services [json]", "what sleeps, what is awake, and until when"),
    usage("show sess [id]", "report the list of current sessions or dump this exact session"),
    usage("show stat [json|no-maint|typed|up]*", "report counters for each proxy and server"),
    usage("show version", "show version of the current process"),
    usage("shutdown session [id]", "kill a specific session"),
    usage("shutdown sessions server <bk>/<srv>", "kill sessions on a server"),
    usage("sleep <service>[/<srv>]", "stop it now, if nobody uses it"),
    usage("thaw <service>[/<srv>]", "thaw it now"),
    usage("wake <service>[/<srv>]", "wake it now; it sleeps again by its rules"),
    usage("help [<command>]", "list matching or all commands"),
    usage("prompt", "toggle interactive mode with prompt"),
    usage("quit", "disconnect"),
];
