//! Inspections of a container by its engine.

use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;

use super::engine::{Engine, REQUEST_TIMEOUT, encode};
use super::engine_error::EngineError;

/// The parts of an inspection that dormouse uses. Either engine may omit any of them except the state.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspection {
    pub(super) id: String,
    pub(super) state: State,
    #[serde(default)]
    config: Option<Config>,
}

/// The state of a container, as the engines describe it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the engines define them")]
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

/// The run state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    Running,
    Paused,
    Stopped,
}

/// The result of the health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthStatus {
    Healthy,
    /// There is no result yet, or no health check.
    Unknown,
    Unhealthy,
}

impl Inspection {
    pub(super) async fn of(engine: &mut Engine, name: &str) -> Result<Self, EngineError> {
        let path = format!("/containers/{}/json", encode(name));
        let response = engine.request(Method::GET, &path, REQUEST_TIMEOUT).await?;
        serde_json::from_slice(&response.body)
            .map_err(|error| EngineError::InvalidResponse(error.to_string()))
    }

    pub(super) fn run_state(&self) -> RunState {
        match &self.state {
            state if state.paused => RunState::Paused,
            state if state.running && !state.restarting => RunState::Running,
            _ => RunState::Stopped,
        }
    }

    /// Returns whether the container has a process although the engine reports it as stopped.
    pub(super) fn is_half_started(&self) -> bool {
        self.run_state() == RunState::Stopped && self.state.pid != 0
    }

    /// Returns the main process, in the PID namespace of the engine.
    pub(super) fn process(&self) -> Option<u32> {
        Some(self.state.pid).filter(|pid| *pid != 0 && self.run_state() != RunState::Stopped)
    }

    pub(super) fn has_health_check(&self) -> bool {
        let check = self.config.as_ref().and_then(|config| config.healthcheck.as_ref());
        let test = check.and_then(|check| check.test.as_deref()).unwrap_or_default();
        test.first().is_some_and(|kind| !kind.is_empty() && kind != "NONE")
    }

    pub(super) fn health(&self) -> HealthStatus {
        health_status(self.state.health.as_ref().map_or("", |health| &health.status))
    }

    /// Returns the systemd unit in the labels of the container.
    pub(super) fn unit(&self) -> Option<String> {
        let labels = self.config.as_ref()?.labels.as_ref()?;
        labels.get("PODMAN_SYSTEMD_UNIT").filter(|unit| !unit.is_empty()).cloned()
    }

    /// Returns how the last run ended; an error describes a failure.
    pub(super) fn ending(&self) -> Result<(), String> {
        let state = &self.state;
        let error = if state.error.is_empty() { String::new() } else { format!(": {}", state.error) };
        if state.out_of_memory {
            return Err(format!("it was killed: out of memory{error}"));
        }
        match state.exit_code {
            0 if error.is_empty() => Ok(()),
            // Shells and engines report a signal as 128 plus its number.
            code @ 129..=192 => Err(format!("exit code {code}, as after signal {}{error}", code - 128)),
            code => Err(format!("exit code {code}{error}")),
        }
    }
}

fn health_status(status: &str) -> HealthStatus {
    match status {
        "healthy" => HealthStatus::Healthy,
        "unhealthy" => HealthStatus::Unhealthy,
        _ => HealthStatus::Unknown,
    }
}

/// Runs the health check once. Only Podman supports this.
pub(super) async fn check_health(engine: &mut Engine, name: &str) -> Result<HealthStatus, EngineError> {
    /// By default the engine gives a health check 30 s.
    const CHECK_TIMEOUT: Duration = Duration::from_secs(60);
    let Some(prefix) = engine.podman_prefix() else { return Ok(HealthStatus::Unknown) };
    let path = format!("{prefix}/containers/{}/healthcheck", encode(name));
    let response = engine.request(Method::GET, &path, CHECK_TIMEOUT).await?;
    let health: Health = serde_json::from_slice(&response.body)
        .map_err(|error| EngineError::InvalidResponse(error.to_string()))?;
    Ok(health_status(&health.status))
}

/// Returns whether a failed health check makes the engine act on the container. Dormouse runs no extra checks then.
pub(super) async fn failing_check_acts(engine: &mut Engine, name: &str) -> Result<bool, EngineError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct PodmanInspection {
        config: PodmanConfig,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct PodmanConfig {
        #[serde(default)]
        healthcheck_on_failure_action: String,
    }
    let Some(prefix) = engine.podman_prefix() else { return Ok(true) };
    let path = format!("{prefix}/containers/{}/json", encode(name));
    let response = engine.request(Method::GET, &path, REQUEST_TIMEOUT).await?;
    let inspection: PodmanInspection = serde_json::from_slice(&response.body)
        .map_err(|error| EngineError::InvalidResponse(error.to_string()))?;
    Ok(!matches!(inspection.config.healthcheck_on_failure_action.as_str(), "" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(state: &str, config: &str) -> Inspection {
        serde_json::from_str(&format!(r#"{{"Id":"1a","State":{state},"Config":{config},"Mounts":[]}}"#))
            .unwrap()
    }

    #[test]
    fn run_states() {
        let run_state = |state: &str| inspection(state, "null").run_state();
        assert_eq!(run_state(r#"{"Running":true,"Pid":5}"#), RunState::Running);
        assert_eq!(run_state(r#"{"Running":true,"Paused":true}"#), RunState::Paused);
        assert_eq!(run_state(r#"{"Running":false,"Paused":true}"#), RunState::Paused);
        assert_eq!(run_state(r#"{"Running":true,"Restarting":true}"#), RunState::Stopped);
        assert_eq!(run_state(r#"{"Status":"exited"}"#), RunState::Stopped);
    }

    #[test]
    fn endings_are_described() {
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
    fn health_and_labels_are_parsed() {
        let one = inspection(
            r#"{"Running":true,"Health":{"Status":"healthy"}}"#,
            r#"{"Healthcheck":{"Test":["CMD-SHELL","true"]},"Labels":{"PODMAN_SYSTEMD_UNIT":"web.service"}}"#,
        );
        assert!(one.has_health_check());
        assert_eq!(one.health(), HealthStatus::Healthy);
        assert_eq!(one.unit().as_deref(), Some("web.service"));
        let none = inspection(r#"{"Running":true}"#, r#"{"Healthcheck":{"Test":["NONE"]},"Labels":null}"#);
        assert!(!none.has_health_check());
        assert_eq!(none.health(), HealthStatus::Unknown);
        assert_eq!(none.unit(), None);
    }
}
