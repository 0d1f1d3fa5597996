//! The keys of a service: the workload.

use crate::defaults;
use crate::keys::{COMMAND, Key, SPAN, SWITCH, TABLE, TEXT, TEXTS, flagged, key};

pub(super) const KEYS: &[Key] = &[
    Key {
        manual: "The workload of the service, which dormouse starts and stops: one of unit, container, exec, \
                 start and wol, with the keys that belong to it. Without it the service forwards to a server \
                 that is always running. Services with the same workload share it: see the section SHARED WORKLOADS.",
        ..key("wake", TABLE, "{ unit = \"nginx.service\" }")
    },
    Key {
        manual: "The name of a systemd unit; .service is added to a name without a suffix. A unit that dormouse \
                 did not start is used, but not stopped unless stop_foreign is set.",
        ..flagged("wake.unit", "--unit", TEXT, "\"nginx.service\"")
    },
    Key {
        default: "\"user\" for a user with a runtime directory, otherwise and for root \"system\"",
        manual: "The service manager of the unit: the system's or the user's.",
        ..key("wake.manager", "\"system\" or \"user\"", "\"system\"")
    },
    Key {
        manual: "The name or id of a container of Podman or Docker. A container that belongs to a Quadlet is \
                 started through its unit.",
        ..flagged("wake.container", "--container", TEXT, "\"httpd\"")
    },
    Key {
        default: "the first that exists in the usual places",
        manual: "The path of the API socket of the container engine.",
        ..flagged("wake.engine", "--engine", "an absolute path", "\"/run/podman/podman.sock\"")
    },
    Key {
        manual: "A program, which dormouse starts and stops with all its descendants. It must run the server itself; for \
                 a container use container. A string is split as by a shell, but no shell runs. Of its output and its \
                 STATUS= messages 10000 lines and 4 MiB are logged in 30 s; the rest is discarded and counted.",
        ..flagged("wake.exec", "--exec", COMMAND, "\"python3 -m http.server --bind 127.0.0.1 9000\"")
    },
    Key {
        manual: "Variables to add to the environment of the program of exec. It gets the environment of dormouse \
                 without what concerns dormouse alone, such as CREDENTIALS_DIRECTORY.",
        ..key("wake.environment", "a table of strings", "{ PORT = \"9000\" }")
    },
    Key {
        default: "the user of dormouse, with a warning if that is root; with sandbox = \"strict\" a user of its own",
        manual: "The user that the program of exec runs as: a name or a number. It gets the groups of the user, \
                 and HOME, LOGNAME, SHELL and USER. Requires root, or CAP_SETUID, CAP_SETGID and CAP_KILL, unless \
                 it is dormouse's own user; without them dormouse does not start. root states that the program needs root.",
        ..flagged("wake.user", "--uid", TEXT, "\"www-data\"")
    },
    Key {
        default: "the group of the user",
        manual: "The group that the program of exec runs as, in place of the user's own: a name or a number.",
        ..flagged("wake.group", "--gid", TEXT, "\"www-data\"")
    },
    Key {
        default: defaults::SANDBOX.text,
        manual: "The confinement of the program of exec: none, or strict, with a user of its own where user is not set. \
                 See the section CONFINED PROGRAMS.",
        ..flagged("wake.sandbox", "--sandbox", "\"none\" or \"strict\"", "\"strict\"")
    },
    Key {
        default: "the working directory of dormouse (/ under the example unit)",
        manual: "The working directory of the program of exec. It must exist. A confined program that may not enter \
                 it is not started.",
        ..flagged("wake.directory", "--directory", "an absolute path", "\"/srv/web\"")
    },
    Key {
        manual: "A command that starts the workload and then exits, with status 0 on success.",
        ..flagged("wake.start", "--start-command", COMMAND, "\"virsh start web\"")
    },
    Key {
        manual: "The command that stops the workload. Without it dormouse does not stop the workload.",
        ..flagged("wake.stop", "--stop-command", COMMAND, "\"virsh shutdown web\"")
    },
    Key {
        manual: "The command that freezes the workload.",
        ..flagged("wake.freeze", "--freeze-command", COMMAND, "\"virsh suspend web\"")
    },
    Key {
        manual: "The command that thaws the workload.",
        ..flagged("wake.thaw", "--thaw-command", COMMAND, "\"virsh resume web\"")
    },
    Key {
        manual: "A command that exits with status 0 while the workload runs, and with another status while it \
                 does not.",
        ..flagged("wake.status", "--status-command", COMMAND, "\"virsh-is-running web\"")
    },
    Key {
        manual: "The hardware address of a machine to wake with a Wake-on-LAN packet. dormouse does not stop the \
                 machine.",
        ..flagged("wake.wol", "--wol", "a hardware address", "\"aa:bb:cc:dd:ee:ff\"")
    },
    Key {
        default: "\"255.255.255.255:9\"",
        manual: "The address that the Wake-on-LAN packet is sent to.",
        ..key("wake.broadcast", "an IP address with or without a port", "\"192.168.1.255:9\"")
    },
    Key {
        default: defaults::WAKE_ON.text,
        manual: "The event that starts the workload: a connection (connect), or the first byte of a client \
                 (data). With data, a port scanner does not start it. Do not use data where the server sends \
                 first.",
        ..flagged("wake.on", "--wake-on", "\"connect\" or \"data\"", "\"data\"")
    },
    Key {
        default: "all addresses",
        manual: "The addresses of the clients that may start the workload. Other clients are served only while \
                 it runs. Clients of a UNIX socket of the service are always allowed, unless a PROXY header \
                 contains their address.",
        ..flagged("wake.allow", "--wake-allow", TEXTS, "[\"10.0.0.0/8\", \"::1\"]")
    },
    Key {
        default: defaults::STOP_FOREIGN.text,
        manual: "Also freeze and stop a workload that dormouse did not start.",
        ..flagged("wake.stop_foreign", "--stop-foreign", SWITCH, "true")
    },
    Key {
        default: defaults::FOREIGN_LISTENER.text,
        manual: "What to do with a listener at the address of the server that does not belong to the workload: send \
                 no clients there (refuse), or all of them (allow). Use allow where the workload lets another program \
                 listen. See the section LISTENERS OF OTHER PROGRAMS.",
        ..flagged("wake.foreign_listener", "--foreign-listener", "\"refuse\" or \"allow\"", "\"allow\"")
    },
    Key {
        default: defaults::START_TIMEOUT.text,
        manual: "The longest time from the start of the workload until it is ready. After a failed start \
                 dormouse pauses before the next one, from 1 s up to 60 s; during the pause clients are refused.",
        ..flagged("wake.start_timeout", "--start-timeout", SPAN, "\"120s\"")
    },
    Key {
        default: defaults::STOP_TIMEOUT.text,
        manual: "The longest time that a stop may take before dormouse kills the workload; 0: kill at once.",
        ..flagged("wake.stop_timeout", "--stop-timeout", SPAN, "\"10s\"")
    },
];
