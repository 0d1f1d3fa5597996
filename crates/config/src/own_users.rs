//! Users that belong to one service alone: no two services have the same.

use std::collections::BTreeMap;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Exec, Sandbox, Strict};
use dormouse_sys::identity::Identity;

use super::model::{ServerConfig, ServiceConfig};
use super::report::Report;
use super::service::Draft;

/// Reports services that would share a user, or its group, that should belong to one of them alone.
pub(super) fn differ(drafts: &[Draft], report: &mut Report) {
    // The service of each user that a program has: its own one, or a configured one.
    let mut users: BTreeMap<u32, &ServiceConfig> = BTreeMap::new();
    let mut groups: BTreeMap<u32, &ServiceConfig> = BTreeMap::new();
    for (config, account) in
        programs(drafts).filter_map(|(draft, exec)| Some((&draft.config, exec.user.as_ref()?)))
    {
        let Identity { uid, gid, groups: others } = &account.identity;
        users.entry(*uid).or_insert(config);
        for group in others.iter().chain([gid]) {
            groups.entry(*group).or_insert(config);
        }
    }
    for (Draft { config, place, .. }, exec) in programs(drafts) {
        let Sandbox::Strict(Strict { own_user: Some(account), .. }) = &exec.sandbox else { continue };
        let uid = account.identity.uid;
        let another = |found: &BTreeMap<u32, &ServiceConfig>| {
            found.get(&uid).filter(|other| other.name != config.name).map(|other| other.name.clone())
        };
        // The number of the group is that of the user.
        let taken = another(&users).map(|other| ("the user", other));
        match taken.or_else(|| another(&groups).map(|other| ("a group", other))) {
            Some((what, other)) => {
                let user = place.call("wake.user");
                let message = format!(
                    "its own user would be {uid}, which is {what} of the service {other}, too; rename one of them, or set {user}"
                );
                report.error(place, message);
            }
            None => {
                users.entry(uid).or_insert(config);
            }
        }
    }
}

fn programs(drafts: &[Draft]) -> impl Iterator<Item = (&Draft, &Exec)> {
    drafts
        .iter()
        .flat_map(|draft| draft.config.servers.iter().filter_map(program).map(move |exec| (draft, exec)))
}

fn program(server: &ServerConfig) -> Option<&Exec> {
    match &server.wake {
        Some(ActivatorConfig::Exec(exec)) => Some(exec),
        _ => None,
    }
}
