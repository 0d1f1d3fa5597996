//! The servers that share one workload, and how many clients each of them has.

use dormouse_core::plural::counted;
use dormouse_proxy::upstream::{Sharer, WakeableServer};

/// The number of servers that are named. A configuration may have thousands for one workload.
const NAMED: usize = 8;

/// All servers of one workload: the one in question, and the others.
pub(super) struct Sharers(Vec<Sharer>);

impl Sharers {
    /// Finds the servers that share the workload of this one.
    pub(super) fn of(server: &WakeableServer) -> Self {
        let (leases, held) = server.load();
        let mut sharers = vec![Sharer { name: server.name().to_owned(), leases, held }];
        sharers.extend(server.sharers());
        Self(sharers)
    }

    /// Returns the names of the other servers; `None` if the workload is not shared.
    pub(super) fn others(&self) -> Option<String> {
        let others = self.0.get(1..).unwrap_or_default();
        (!others.is_empty()).then(|| listed(others.iter().map(|other| other.name.clone())))
    }

    /// Returns in brackets how many of a number each server has; nothing if the workload is not shared.
    pub(super) fn of_each(&self, number: impl Fn(&Sharer) -> usize) -> String {
        if self.0.len() == 1 {
            return String::new();
        }
        let numbers = self.0.iter().map(|sharer| (number(sharer), &sharer.name));
        let numbers: Vec<_> = numbers.filter(|(number, _)| *number > 0).collect();
        if numbers.is_empty() {
            return String::new();
        }
        format!(" ({})", listed(numbers.iter().map(|(number, name)| format!("{number} of {name}"))))
    }

    /// Returns whether a server has this name, with the name of its service in front.
    pub(super) fn has(&self, service: &str, server: &str) -> bool {
        self.0.iter().any(|sharer| {
            let rest = sharer.name.strip_prefix(service);
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('/') == Some(server))
        })
    }
}

/// Returns a list of words, of which the first few are named.
fn listed(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(NAMED);
    let named = words.take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {}", counted(more, "other", "others")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharers(all: &[(&str, usize)]) -> Sharers {
        Sharers(
            all.iter()
                .map(|(name, leases)| Sharer { name: (*name).to_owned(), leases: *leases, held: 0 })
                .collect(),
        )
    }

    #[test]
    fn the_clients_of_each_server_are_named() {
        let alone = sharers(&[("web", 3)]);
        assert_eq!((alone.others(), alone.of_each(|sharer| sharer.leases)), (None, String::new()));
        let two = sharers(&[("game", 0), ("console/b", 2)]);
        assert_eq!(two.others().as_deref(), Some("console/b"));
        assert_eq!(two.of_each(|sharer| sharer.leases), " (2 of console/b)");
        assert_eq!(two.of_each(|sharer| sharer.held), "");
        assert!(two.has("game", "server1") && two.has("console", "b"));
        assert!(!two.has("console", "a") && !two.has("gam", "e") && !two.has("con", "sole/b"));
    }

    #[test]
    fn many_servers_are_counted() {
        let names: Vec<_> = (0..12).map(|number| format!("s{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(sharers(&many).others().as_deref(), Some("s1, s2, s3, s4, s5, s6, s7, s8 and 3 others"));
    }
}
