//! What confined programs lack on this machine.

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::Config;
use dormouse_config::places::Places;
use dormouse_config::report::Report;

/// Warns of each part of a confinement that a program would not have if this user ran dormouse here.
pub(super) fn look(config: &Config, places: &Places, report: &mut Report) {
    for service in &config.services {
        let Some(places) = places.service(&service.name) else { continue };
        for server in &service.servers {
            let Some(ActivatorConfig::Exec(exec)) = &server.wake else { continue };
            for text in exec.unavailable() {
                report.warning(&places.of_server(&server.name, "wake.sandbox"), text);
            }
        }
    }
}
