//! What confined programs lack on this machine.

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::{Config, ServiceConfig};

/// Returns a warning for each part of a confinement that a program would not have if this user ran dormouse here.
pub(super) fn missing(config: &Config) -> Vec<String> {
    let of_service = |service: &ServiceConfig| {
        let programs = service.servers.iter().filter_map(|server| match &server.wake {
            Some(ActivatorConfig::Exec(exec)) => Some(exec.unavailable()),
            _ => None,
        });
        let name = service.name.clone();
        programs
            .flatten()
            .map(move |text| format!("services.{name}.wake.sandbox: {text}"))
            .collect::<Vec<_>>()
    };
    config.services.iter().flat_map(of_service).collect()
}
