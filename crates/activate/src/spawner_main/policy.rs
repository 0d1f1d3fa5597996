//! What dormouse may ask for.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use dormouse_core::name::named_servers;
use rustix::fs::{FileType, fstat};
use rustix::process::geteuid;
use serde::Deserialize;

use crate::command::CommandLaunch;
use crate::exec::{GuardLaunch, NOTIFY_DIRECTORY_MODE, SenderQuestion, Sweep, is_notify_directory};
use crate::grant::Grant;
use crate::ownership::{EvidentQuestion, GroupQuestion, JudgeQuestion, JudgeUnixQuestion};
use crate::permissions::Change;
use crate::program::Program;

/// A request, as [`crate::spawner`] writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    Start(Start),
    Ask(Ask),
    Change(Change),
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

/// What may be started and changed.
#[derive(Debug)]
pub(super) struct Policy(Grant);

impl Policy {
    pub(super) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text).map(Self)
    }

    /// Returns whether a program may be started.
    pub(super) fn allows(&self, start: &Start) -> bool {
        match start {
            Start::Guard(guard) => {
                // The name of its workload is in a variable of the program.
                self.0.programs.contains(&Program::of_guard(guard))
                    && guard.removes_its_own()
                    && named_servers(guard.service()).is_some()
            }
            // Servers with the same commands share a workload, whose name is that of all of them.
            Start::Command(command) => named_servers(&command.service).is_some_and(|servers| {
                servers
                    .into_iter()
                    .all(|server| self.0.programs.contains(&Program::of_command(server, command)))
            }),
        }
    }

    /// Returns whether a file may be changed: a socket that dormouse may have created, or the directory of one for
    /// notifications.
    pub(super) fn allows_change(&self, change: Change, file: &OwnedFd) -> bool {
        let files = &self.0.files;
        let (Ok(found), Ok(path)) =
            (fstat(file), std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())))
        else {
            return false;
        };
        let above = path.parent();
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Socket => {
                // A new socket is in a directory of its own at first.
                let higher = above.and_then(Path::parent);
                let is_inside =
                    [above, higher].into_iter().flatten().any(|one| files.directories.contains(one))
                        || higher.is_some() && higher == files.notify.as_deref();
                is_inside
                    && match change {
                        Change::Mode(mode) => mode <= 0o777,
                        Change::Owner { uid, gid } => {
                            uid.is_none_or(|uid| files.users.contains(&uid))
                                && gid.is_none_or(|gid| files.groups.contains(&gid))
                        }
                    }
            }
            // A umask may have taken rights away that the program needs.
            FileType::Directory => {
                above.is_some()
                    && above == files.notify.as_deref()
                    && is_notify_directory(&path)
                    && found.st_uid == geteuid().as_raw()
                    && change == Change::Mode(NOTIFY_DIRECTORY_MODE)
            }
            _ => false,
        }
    }

    /// Removes the directory of the directories of notification sockets, if nothing is left in it.
    pub(super) fn tidy_up(&self) {
        if let Some(directory) = self.0.files.notify.as_deref().filter(|path| is_notify_directory(path)) {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use dormouse_tests::temp::TempDir;
    use rustix::fs::OFlags;
    use serde_json::{Value, json};

    use crate::permissions::Changeable;

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
        let grant = json!({ "programs": programs, "files": Changeable::default() });
        let policy = Policy::parse(&serde_json::to_vec(&grant).unwrap()).unwrap();
        let none = Value::Null;
        let own = json!(format!("/run/dormouse-notify-{:016x}", 7));
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
        let empty = Policy(Grant::default());
        assert!(!empty.allows(&command("web", "start")));
    }

    /// Each request differs in one point from an allowed one.
    #[test]
    fn only_sockets_of_the_configuration_are_changed() {
        let top = TempDir::new().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (inside, outside) = (top.join("inside"), top.join("outside"));
        let common = top.join(format!("dormouse-notify-{:016x}", 7));
        let notify = common.join(format!("{:016x}", 8));
        for directory in
            [&inside, &outside, &inside.join("s.new"), &inside.join("a"), &inside.join("a/b"), &notify]
        {
            std::fs::create_dir_all(directory).unwrap();
        }
        let open = |path: PathBuf| OwnedFd::from(std::fs::File::open(path).unwrap());
        let listeners = ["inside/s", "inside/s.new/s", "inside/a/b/s", "outside/s"]
            .map(|name| (name, UnixListener::bind(top.join(name)).unwrap()));
        let notify_socket = UnixListener::bind(notify.join("socket")).unwrap();
        let socket = |path: &str| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            rustix::fs::open(top.join(path), flags, rustix::fs::Mode::empty()).unwrap()
        };
        std::fs::write(inside.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", inside.join("link")).unwrap();
        let policy = Policy(Grant {
            files: Changeable {
                directories: [inside.clone()].into(),
                notify: Some(common.clone()),
                users: [7].into(),
                groups: [8].into(),
            },
            ..Grant::default()
        });
        let mode = Change::Mode(0o666);
        for allowed in ["inside/s", "inside/s.new/s"] {
            assert!(policy.allows_change(mode, &socket(allowed)), "{allowed}");
        }
        for refused in ["inside/a/b/s", "outside/s", "inside/file", "inside/link", "inside", "outside"] {
            assert!(!policy.allows_change(mode, &socket(refused)), "{refused}");
        }
        let own = socket("inside/s");
        for refused in [
            Change::Mode(0o4755),
            Change::Mode(0o2755),
            Change::Owner { uid: Some(0), gid: Some(8) },
            Change::Owner { uid: Some(7), gid: Some(0) },
        ] {
            assert!(!policy.allows_change(refused, &own), "{refused:?}");
        }
        assert!(policy.allows_change(Change::Owner { uid: Some(7), gid: Some(8) }, &own));
        // Notification sockets and their directories.
        let reached = Change::Mode(NOTIFY_DIRECTORY_MODE);
        assert!(policy.allows_change(reached, &open(notify.clone())));
        assert!(!policy.allows_change(Change::Mode(0o777), &open(notify.clone())));
        assert!(!policy.allows_change(reached, &open(common.clone())));
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let file = rustix::fs::open(notify.join("socket"), flags, rustix::fs::Mode::empty()).unwrap();
        assert!(policy.allows_change(mode, &file));
        drop((listeners, notify_socket));
        // What is in use stays.
        policy.tidy_up();
        assert!(common.exists());
        std::fs::remove_dir_all(&notify).unwrap();
        policy.tidy_up();
        assert!(!common.exists());
    }
}
