//! The reasons for a failed start or the end of a unit: the words of the manager, and what the user can do.

use super::client::{ManagerError, UNIT, UnitClient};
use super::dbus::Value;
use super::state::UnitState;
use super::{Manager, Unit};
use crate::process::signal_name;

/// Describes a call that the manager has rejected.
pub(super) fn rejection(unit: &Unit, error: &str, text: &str) -> String {
    let name = &unit.name;
    match error.rsplit('.').next().unwrap_or_default() {
        "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" => format!(
            "not permitted ({text}); install the rules that `dormouse check --polkit` prints \
             (org.freedesktop.systemd1.manage-units), run dormouse as root, or make {name} a unit of the user's own \
             manager"
        ),
        "NoSuchUnit" => not_found(unit),
        "NotSupported" => {
            format!("{text}; freezing needs systemd 246 and the unified cgroup hierarchy; remove `freeze`")
        }
        "UnknownMethod" => format!("this version of systemd does not support it ({text})"),
        "OnlyByDependency" => format!("{text}; remove RefuseManualStart= from the unit"),
        "ShuttingDown" | "TransactionIsDestructive" => format!("{text}; the manager may be shutting down"),
        _ if text.is_empty() => error.to_owned(),
        _ => text.to_owned(),
    }
}

/// Describes why the manager could not load a unit.
pub(super) async fn not_loaded(
    client: &UnitClient,
    unit: &Unit,
    state: &UnitState,
) -> Result<String, ManagerError> {
    let name = &unit.name;
    Ok(match state.load.as_str() {
        "not-found" => not_found(unit),
        "masked" => format!("it is masked; `{} unmask {name}` allows it again", systemctl(unit)),
        state => {
            let text = match client.property(UNIT, "LoadError").await? {
                Some(Value::Pair(_, text)) if !text.is_empty() => text,
                _ => state.to_owned(),
            };
            format!("invalid unit file ({text}); check it with `systemd-analyze{} verify {name}`", flag(unit))
        }
    })
}

/// Describes why a start failed. `result` is the result of the job, or empty if it is unknown.
pub(super) async fn start_failure(
    client: &UnitClient,
    unit: &Unit,
    state: &UnitState,
    result: &str,
) -> Result<String, ManagerError> {
    let what = match result {
        "canceled" => "another program has cancelled the start".to_owned(),
        "dependency" => {
            let dependencies = systemctl(unit);
            return Ok(format!(
                "a required unit could not be started; `{dependencies} list-dependencies {}` lists them",
                unit.name
            ));
        }
        "timeout" => "its start job has timed out".to_owned(),
        "assert" => "an Assert…= of the unit failed".to_owned(),
        "unsupported" => "units of its type are not supported here".to_owned(),
        "once" => "the unit can start only once, and has been started".to_owned(),
        "done" | "skipped" if client.property(UNIT, "ConditionResult").await? == Some(Value::Number(0)) => {
            "a Condition…= of the unit failed".to_owned()
        }
        "done" | "skipped" if state.active != "failed" => return Ok(ended_early(unit, state)),
        _ => match failure(client, unit).await? {
            Some(how) => how,
            None => "the manager reports no reason".to_owned(),
        },
    };
    Ok(with_journal_hint(&what, unit))
}

/// Describes an end in good order before the unit was active.
pub(super) fn ended_early(unit: &Unit, state: &UnitState) -> String {
    let what = if state.has_stop_job() {
        "another program has stopped it"
    } else {
        "it ended before it was active (Type=oneshot needs RemainAfterExit=yes)"
    };
    with_journal_hint(what, unit)
}

/// Returns how a unit ended that dormouse did not stop. The inner error describes a failure.
pub(super) async fn unrequested_end(
    client: &UnitClient,
    unit: &Unit,
) -> Result<Result<(), String>, ManagerError> {
    Ok(match failure(client, unit).await? {
        Some(how) => Err(with_journal_hint(&how, unit)),
        None => Ok(()),
    })
}

/// Describes the failure in the unit's result; `None` if it ended in good order.
async fn failure(client: &UnitClient, unit: &Unit) -> Result<Option<String>, ManagerError> {
    let Some(interface) = type_interface(&unit.name) else { return Ok(None) };
    let result = match client.property(&interface, "Result").await? {
        Some(Value::Text(result)) if result != "success" => result,
        _ => return Ok(None),
    };
    let code = client.property(&interface, "ExecMainCode").await?;
    let status = client.property(&interface, "ExecMainStatus").await?;
    let text = describe_result(&result, number(code.as_ref()), number(status.as_ref()), unit);
    Ok(Some(match number(client.property(&interface, "NRestarts").await?.as_ref()) {
        0 => text,
        1 => format!("{text}, after 1 restart by the manager"),
        restarts => format!("{text}, after {restarts} restarts by the manager"),
    }))
}

fn number(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Number(number)) => *number,
        _ => 0,
    }
}

/// Describes the result of a unit. `code` and `status` are those of waitid(2) for the main process.
fn describe_result(result: &str, code: i64, status: i64, unit: &Unit) -> String {
    const EXITED: i64 = 1;
    const KILLED: i64 = 2;
    const DUMPED: i64 = 3;
    let process = match code {
        EXITED if status != 0 => format!(": its main process exited with {status}{}", explain_status(status)),
        KILLED => format!(": its main process was killed by signal {status}{}", signal_suffix(status)),
        DUMPED => format!(": its main process dumped core on signal {status}{}", signal_suffix(status)),
        _ => String::new(),
    };
    match result {
        "start-limit-hit" => format!(
            "result start-limit-hit{process}; it was started too often; `{} reset-failed {}` allows it again",
            systemctl(unit),
            unit.name
        ),
        "timeout" => {
            format!(
                "result timeout: it did not start or stop within the unit's TimeoutStartSec= or TimeoutStopSec={process}"
            )
        }
        "protocol" => format!("result protocol: it did not follow the protocol of its Type={process}"),
        "resources" => "result resources: a file, a process or a mount could not be set up".to_owned(),
        result => format!("result {result}{process}"),
    }
}

/// Explains the exit codes of systemd itself, from before it executes the program; see systemd.exec(5).
fn explain_status(status: i64) -> &'static str {
    match status {
        200 => " (200/CHDIR: cannot change to its directory)",
        203 => " (203/EXEC: cannot execute its program)",
        216 => " (216/GROUP: no such group)",
        217 => " (217/USER: no such user)",
        218 => " (218/CAPABILITIES)",
        226 => " (226/NAMESPACE: cannot set up its mounts)",
        _ => "",
    }
}

fn signal_suffix(number: i64) -> String {
    let name = i32::try_from(number).ok().and_then(signal_name);
    name.map_or_else(String::new, |name| format!(" ({name})"))
}

fn with_journal_hint(what: &str, unit: &Unit) -> String {
    format!("{what}; see `journalctl{} -u {}`", flag(unit), unit.name)
}

fn not_found(unit: &Unit) -> String {
    let whose = match unit.manager {
        Manager::System => "is it a unit of the user's manager?",
        Manager::User => "is it a unit of the system's manager?",
    };
    format!(
        "no such unit; list units with `{} list-unit-files`, load new ones with `{0} daemon-reload`; {whose}",
        systemctl(unit)
    )
}

fn systemctl(unit: &Unit) -> &'static str {
    match unit.manager {
        Manager::System => "systemctl",
        Manager::User => "systemctl --user",
    }
}

fn flag(unit: &Unit) -> &'static str {
    match unit.manager {
        Manager::System => "",
        Manager::User => " --user",
    }
}

/// Returns the D-Bus interface for the type of a unit, for example `org.freedesktop.systemd1.Service`.
fn type_interface(name: &str) -> Option<String> {
    let (_, suffix) = name.rsplit_once('.')?;
    let mut letters = suffix.chars();
    let first = letters.next()?.to_ascii_uppercase();
    Some(format!("org.freedesktop.systemd1.{first}{}", letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(manager: Manager) -> Unit {
        Unit { name: "web.service".to_owned(), manager }
    }

    #[test]
    fn a_failure_names_the_result_and_the_process() {
        let unit = unit(Manager::System);
        assert_eq!(
            describe_result("exit-code", 1, 3, &unit),
            "result exit-code: its main process exited with 3"
        );
        let killed = describe_result("signal", 2, 9, &unit);
        assert_eq!(killed, "result signal: its main process was killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn advice_is_for_the_right_manager() {
        let limit = describe_result("start-limit-hit", 1, 1, &unit(Manager::User));
        assert!(limit.contains("`systemctl --user reset-failed web.service`"), "{limit}");
        let denied = rejection(&unit(Manager::System), "org.freedesktop.DBus.Error.AccessDenied", "no");
        assert!(denied.contains("polkit"), "{denied}");
        assert!(with_journal_hint("", &unit(Manager::User)).contains("`journalctl --user -u web.service`"));
    }

    #[test]
    fn the_interface_follows_from_the_unit_type() {
        assert_eq!(type_interface("a.b.service").as_deref(), Some("org.freedesktop.systemd1.Service"));
        assert_eq!(type_interface("nothing"), None);
    }
}
