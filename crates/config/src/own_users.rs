//! Users that belong to one service alone: no two services have the same.

use std::collections::BTreeMap;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Exec, Sandbox, Strict};

use super::model::{ServerConfig, ServiceConfig};
use super::report::Report;
use super::service::Draft;

/// Reports services that would share a user that should belong to one of them alone.
pub(super) fn differ(drafts: &[Draft], report: &mut Report) {
    // The service of each user that a program has: its own one, or a configured one.
    let mut services: BTreeMap<u32, &ServiceConfig> = BTreeMap::new();
    for (own, Draft { config, place, .. }) in
        [false, true].into_iter().flat_map(|own| drafts.iter().map(move |draft| (own, draft)))
    {
        for exec in config.servers.iter().filter_map(program) {
            let own_user = match &exec.sandbox {
                Sandbox::Strict(Strict { own_user: Some(account), .. }) => Some(account),
                Sandbox::Strict(_) | Sandbox::None => None,
            };
            let Some(account) = (if own { own_user } else { exec.user.as_ref() }) else { continue };
            let uid = account.identity.uid;
            match services.get(&uid) {
                Some(other) if own && other.name != config.name => {
                    let (other, user) = (&other.name, place.call("wake.user"));
                    let message = format!(
                        "its own user would be {uid}, which is the user of the service {other}, too; rename one of them, or set {user}"
                    );
                    report.error(place, message);
                }
                Some(_) => {}
                None => {
                    services.insert(uid, config);
                }
            }
        }
    }
}

fn program(server: &ServerConfig) -> Option<&Exec> {
    match &server.wake {
        Some(ActivatorConfig::Exec(exec)) => Some(exec),
        _ => None,
    }
}
