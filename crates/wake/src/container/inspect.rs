//! What the engine says about a container.

use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;

use super::engine::{Engine, EngineError, PROMPT, encode};

/// What is used of an inspection. All but the state is left out by one engine or another.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspection {
    pub(super) id: String,
    pub(super) state: State,
    #[serde(default)]
    config: Option<Config>,
}

/// Where it stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the engines have it so")]
pub(super) struct State {
    #[serde(default)]
    pub(super) running: bool,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) restarting: bool,
    #[serde(default, rename = "OOMKilled")]
    pub(super) out_of_memory: bool,
    #[serde(default)]
    pub(super) pid: u32,
    #[serde(default)]
    pub(super) exit_code: i64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    health: Option<Health>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    healthcheck: Option<HealthCheck>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthCheck {
    #[serde(default)]
    test: Option<Vec<String>>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Runs,
    Paused,
    Nothing,
}

/// What its health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Healthy {
    Yes,
    NotYet,
    No,
}

impl Inspection {
    pub(super) async fn of(engine: &mut Engine, name: &str) -> Result<Self, EngineError> {
        let path = format!("/containers/{}/json", encode(name));
        let answer = engine.ask(Method::GET, &path, PROMPT).await?;
        serde_json::from_slice(&answer.body).map_err(|error| EngineError::Nonsense(error.to_string()))
    }

    pub(super) fn doing(&self) -> Doing {
        match &self.state {
            state if state.paused => Doing::Paused,
            state if state.running && !state.restarting => Doing::Runs,
            _ => Doing::Nothing,
        }
    }

    /// It has a process, but the engine does not know that it was started.
    pub(super) fn is_half_started(&self) -> bool {
        self.doing() == Doing::Nothing && self.state.pid != 0
    }

    /// Its process, as the engine sees it.
    pub(super) fn process(&self) -> Option<u32> {
        Some(self.state.pid).filter(|pid| *pid != 0 && self.doing() != Doing::Nothing)
    }

    pub(super) fn has_health_check(&self) -> bool {
        let check = self.config.as_ref().and_then(|config| config.healthcheck.as_ref());
        let test = check.and_then(|check| check.test.as_deref()).unwrap_or_default();
        test.first().is_some_and(|kind| !kind.is_empty() && kind != "NONE")
    }

    pub(super) fn healthy(&self) -> Healthy {
        healthy(self.state.health.as_ref().map_or("", |health| &health.status))
    }

    /// The systemd unit that it says it belongs to.
    pub(super) fn unit(&self) -> Option<String> {
        let labels = self.config.as_ref()?.labels.as_ref()?;
        labels.get("PODMAN_SYSTEMD_UNIT").filter(|unit| !unit.is_empty()).cloned()
    }

    /// How its last run ended: nothing to say, or what was not in order.
    pub(super) fn ending(&self) -> Result<(), String> {
        let state = &self.state;
        let error = if state.error.is_empty() { String::new() } else { format!(": {}", state.error) };
        if state.out_of_memory {
            return Err(format!("it was killed because memory ran out{error}"));
        }
        match state.exit_code {
            0 if error.is_empty() => Ok(()),
            // Shells and engines count signals from 128.
            code @ 129..=192 => Err(format!("exit code {code}, as after signal {}{error}", code - 128)),
            code => Err(format!("exit code {code}{error}")),
        }
    }
}

fn healthy(status: &str) -> Healthy {
    match status {
        "healthy" => Healthy::Yes,
        "unhealthy" => Healthy::No,
        _ => Healthy::NotYet,
    }
}

/// Runs the health check once, as only Podman can be asked to.
pub(super) async fn check_health(engine: &mut Engine, name: &str) -> Result<Healthy, EngineError> {
    /// The engine itself gives a check 30 s unless told otherwise.
    const CHECK: Duration = Duration::from_secs(60);
    let Some(prefix) = engine.podman_prefix() else { return Ok(Healthy::NotYet) };
    let path = format!("{prefix}/containers/{}/healthcheck", encode(name));
    let answer = engine.ask(Method::GET, &path, CHECK).await?;
    let health: Health =
        serde_json::from_slice(&answer.body).map_err(|error| EngineError::Nonsense(error.to_string()))?;
    Ok(healthy(&health.status))
}

/// Whether the engine does something to the container when its check fails: then checks of ours could do harm.
pub(super) async fn failing_check_acts(engine: &mut Engine, name: &str) -> Result<bool, EngineError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Own {
        config: OwnConfig,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct OwnConfig {
        #[serde(default)]
        healthcheck_on_failure_action: String,
    }
    let Some(prefix) = engine.podman_prefix() else { return Ok(true) };
    let path = format!("{prefix}/containers/{}/json", encode(name));
    let answer = engine.ask(Method::GET, &path, PROMPT).await?;
    let own: Own =
        serde_json::from_slice(&answer.body).map_err(|error| EngineError::Nonsense(error.to_string()))?;
    Ok(!matches!(own.config.healthcheck_on_failure_action.as_str(), "" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(state: &str, config: &str) -> Inspection {
        serde_json::from_str(&format!(r#"{{"Id":"1a","State":{state},"Config":{config},"Mounts":[]}}"#))
            .unwrap()
    }

    #[test]
    fn what_it_does() {
        let doing = |state: &str| inspection(state, "null").doing();
        assert_eq!(doing(r#"{"Running":true,"Pid":5}"#), Doing::Runs);
        assert_eq!(doing(r#"{"Running":true,"Paused":true}"#), Doing::Paused);
        assert_eq!(doing(r#"{"Running":false,"Paused":true}"#), Doing::Paused);
        assert_eq!(doing(r#"{"Running":true,"Restarting":true}"#), Doing::Nothing);
        assert_eq!(doing(r#"{"Status":"exited"}"#), Doing::Nothing);
    }

    #[test]
    fn how_it_ended() {
        let ending = |state: &str| inspection(state, "{}").ending();
        assert_eq!(ending(r#"{"ExitCode":0}"#), Ok(()));
        assert_eq!(ending(r#"{"ExitCode":3}"#), Err("exit code 3".to_owned()));
        assert_eq!(ending(r#"{"ExitCode":137}"#), Err("exit code 137, as after signal 9".to_owned()));
        assert!(ending(r#"{"ExitCode":137,"OOMKilled":true}"#).unwrap_err().contains("memory"));
        assert_eq!(
            ending(r#"{"ExitCode":127,"Error":"no such file"}"#),
            Err("exit code 127: no such file".to_owned())
        );
    }

    #[test]
    fn health_and_labels() {
        let one = inspection(
            r#"{"Running":true,"Health":{"Status":"healthy"}}"#,
            r#"{"Healthcheck":{"Test":["CMD-SHELL","true"]},"Labels":{"PODMAN_SYSTEMD_UNIT":"web.service"}}"#,
        );
        assert!(one.has_health_check());
        assert_eq!(one.healthy(), Healthy::Yes);
        assert_eq!(one.unit().as_deref(), Some("web.service"));
        let none = inspection(r#"{"Running":true}"#, r#"{"Healthcheck":{"Test":["NONE"]},"Labels":null}"#);
        assert!(!none.has_health_check());
        assert_eq!(none.healthy(), Healthy::NotYet);
        assert_eq!(none.unit(), None);
    }
}
