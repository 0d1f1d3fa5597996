//! Whose credentials the servers of a service see, and the capabilities that other users need.

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::{Config, PeerCredentials, ServiceConfig};
use dormouse_config::places::Places;
use dormouse_config::report::Report;
use dormouse_core::plural::enumerated;
use dormouse_sys::connect_as::may_connect_as;

use crate::supervisor::{CAPABILITIES_REMEDY, USER_REMEDY};

/// Describes whose credentials the servers see, where it is not dormouse.
pub(super) fn lines(service: &ServiceConfig) -> Vec<(&'static str, String)> {
    match service.peer_credentials {
        PeerCredentials::Unstated | PeerCredentials::Own => Vec::new(),
        PeerCredentials::Pass => vec![("connects as", "the user and the groups of each client".to_owned())],
    }
}

/// Warns of each setting that needs capabilities which this process does not have. dormouse may have them.
pub(super) fn look(config: &Config, places: &Places, report: &mut Report) {
    const NEEDS: &str = "needs CAP_SETUID and CAP_SETGID, which this process does not have";
    for service in &config.services {
        let Some(places) = places.service(&service.name) else { continue };
        if service.peer_credentials == PeerCredentials::Pass && !may_connect_as() {
            report.warning(&places.key("peer_credentials"), format!("pass {NEEDS}; {CAPABILITIES_REMEDY}"));
        }
        for server in &service.servers {
            let Some(ActivatorConfig::Exec(exec)) = &server.wake else { continue };
            let Some(account) = exec.account() else { continue };
            let lacks = account.identity.lacks();
            if !lacks.is_empty() {
                let key = if exec.user.is_some() { "wake.user" } else { "wake.sandbox" };
                let (user, lacks) = (&account.name, enumerated(&lacks));
                let message =
                    format!("the user {user} needs {lacks}, which this process does not have; {USER_REMEDY}");
                report.warning(&places.of_server(&server.name, key), message);
            }
        }
    }
}
