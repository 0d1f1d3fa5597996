//! Whose credentials the servers of a service see.

use dormouse_config::model::{Config, PeerCredentials, ServiceConfig};
use dormouse_sys::connect_as::may_connect_as;

use crate::supervisor::CAPABILITIES_REMEDY;

/// Describes whose credentials the servers see, where it is not dormouse.
pub(super) fn lines(service: &ServiceConfig) -> Vec<(&'static str, String)> {
    match service.peer_credentials {
        PeerCredentials::Unstated | PeerCredentials::Own => Vec::new(),
        PeerCredentials::Pass => vec![("connects as", "the user and the groups of each client".to_owned())],
    }
}

/// Returns a warning for each service that needs capabilities which this process does not have.
pub(super) fn missing(config: &Config) -> Vec<String> {
    let passes = |service: &&ServiceConfig| service.peer_credentials == PeerCredentials::Pass;
    let lacking = config.services.iter().filter(passes).filter(|_| !may_connect_as());
    let warning = |service: &ServiceConfig| {
        format!(
            "services.{}.peer_credentials: pass needs CAP_SETUID and CAP_SETGID, which this process does not have; \
             {CAPABILITIES_REMEDY}",
            service.name
        )
    };
    lacking.map(warning).collect()
}
