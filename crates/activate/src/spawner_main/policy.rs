//! What dormouse may ask for.

use std::collections::HashSet;

use dormouse_core::name::named_servers;
use serde::Deserialize;

use crate::command::CommandLaunch;
use crate::exec::{GuardLaunch, SenderQuestion, Sweep};
use crate::ownership::{EvidentQuestion, GroupQuestion, JudgeQuestion, JudgeUnixQuestion};
use crate::program::Program;

/// A request, as [`crate::spawner`] writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    Start(Start),
    Ask(Ask),
}

/// A program to start.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "lowercase")]
pub(super) enum Start {
    Guard(Box<GuardLaunch>),
    Command(CommandLaunch),
}

/// A question.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "lowercase")]
pub(super) enum Ask {
    Evident(EvidentQuestion),
    Owner(JudgeQuestion),
    Listener(JudgeUnixQuestion),
    Sender(SenderQuestion),
    Group(GroupQuestion),
    Sweep(Sweep),
}

/// The programs that may be started.
#[derive(Debug)]
pub(super) struct Policy(HashSet<Program>);

impl Policy {
    pub(super) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text).map(Self)
    }

    /// Returns whether a program may be started.
    pub(super) fn allows(&self, start: &Start) -> bool {
        match start {
            Start::Guard(guard) => {
                // The name of its workload is in a variable of the program.
                self.0.contains(&Program::of_guard(guard))
                    && guard.removes_its_own()
                    && named_servers(guard.service()).is_some()
            }
            // Servers with the same commands share a workload, whose name is that of all of them.
            Start::Command(command) => named_servers(&command.service).is_some_and(|servers| {
                servers.into_iter().all(|server| self.0.contains(&Program::of_command(server, command)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bytes(text: &str) -> Value {
        json!({ "Unix": text.as_bytes() })
    }

    fn exec(program: &str) -> Value {
        let argv = [bytes(program)];
        let strict = json!({ "Strict": { "own_user": null, "socket_directory": null } });
        json!({
            "argv": argv, "environment": [], "directory": "/srv", "user": null, "sandbox": strict, "notify": false,
        })
    }

    fn guard(service: &str, exec: &Value, directory: &Value) -> Start {
        let body = json!({
            "service": service, "exec": exec, "stop_timeout": { "secs": 1, "nanos": 0 },
            "notify_directory": directory, "run_id": "1-2-3",
        });
        let request = json!({ "start": { "kind": "guard", "body": body } });
        let Request::Start(start) = serde_json::from_value(request).unwrap() else { panic!("no start") };
        start
    }

    fn command(service: &str, program: &str) -> Start {
        let body = json!({ "service": service, "argv": [bytes(program), bytes("-x")] });
        let request = json!({ "start": { "kind": "command", "body": body } });
        let Request::Start(start) = serde_json::from_value(request).unwrap() else { panic!("no start") };
        start
    }

    /// Each request differs in one point from an allowed one, as an attacker who has taken over dormouse would send it.
    #[test]
    fn only_what_the_configuration_names_is_started() {
        let programs = json!([
            { "Exec": exec("server") },
            { "Command": { "service": "web", "argv": [bytes("start"), bytes("-x")] } },
            { "Command": { "service": "shop/a", "argv": [bytes("start"), bytes("-x")] } },
            { "Command": { "service": "mail", "argv": [bytes("other"), bytes("-x")] } },
        ]);
        let policy = Policy::parse(&serde_json::to_vec(&programs).unwrap()).unwrap();
        let none = Value::Null;
        let own = json!(format!("/run/dormouse-notify-{:032x}", 7));
        assert!(policy.allows(&guard("web", &exec("server"), &none)));
        assert!(policy.allows(&guard("web", &exec("server"), &own)));
        // A service may get another name, which is a name.
        assert!(policy.allows(&guard("shop/a", &exec("server"), &none)));
        assert!(!policy.allows(&guard("../shop", &exec("server"), &none)));
        // Servers that start the same thing share a workload.
        assert!(policy.allows(&guard("shop/a+web", &exec("server"), &none)));
        assert!(!policy.allows(&guard("web+../shop", &exec("server"), &none)));
        assert!(policy.allows(&command("web", "start")));
        assert!(policy.allows(&command("web+shop/a", "start")));
        assert!(!policy.allows(&command("web+mail", "start")));
        assert!(!policy.allows(&guard("web", &exec("sh"), &none)));
        for (key, value) in [
            ("argv", json!([bytes("server"), bytes("--shell")])),
            ("environment", json!([[bytes("LD_PRELOAD"), bytes("/tmp/x.so")]])),
            ("directory", json!("/tmp")),
            ("directory", none.clone()),
            ("sandbox", json!("None")),
            (
                "user",
                json!({ "name": "root", "identity": { "uid": 0, "gid": 0, "groups": [] }, "home": null, "shell": null }),
            ),
        ] {
            let mut changed = exec("server");
            changed[key] = value;
            assert!(!policy.allows(&guard("web", &changed, &none)), "{changed}");
        }
        // The guard removes this directory.
        assert!(!policy.allows(&guard("web", &exec("server"), &json!("/run/postgresql"))));
        assert!(!policy.allows(&command("web", "server")));
        // A script may act by its variable.
        assert!(!policy.allows(&command("other", "start")));
        let empty = Policy::parse(b"[]").unwrap();
        assert!(!empty.allows(&command("web", "start")));
    }
}
