//! Which of several servers a client gets: the first with room, so that the last ones can sleep.

use super::{Server, Service};

impl Service {
    /// The server for the next client, passing over those that failed it already. Where all that are awake hold as many
    /// sessions as they should, the next one is woken, and the client does not wait for it.
    pub(super) fn choose(&self, failed: &[bool]) -> Option<usize> {
        let candidates = || {
            let fine = |index: &usize| !failed.get(*index).copied().unwrap_or(false);
            (0..self.servers.len()).filter(fine).filter_map(|index| Some((index, self.servers.get(index)?)))
        };
        let Some(soft) = self.rules.soft else { return candidates().next().map(|(index, _)| index) };
        let soft = usize::try_from(soft.get()).unwrap_or(usize::MAX);
        let (awake, asleep): (Vec<_>, Vec<_>) = candidates().partition(|(_, server)| server.is_up());
        if let Some((index, _)) = awake.iter().find(|(_, server)| server.load() < soft) {
            return Some(*index);
        }
        // On its way up, with room left; or the next that sleeps.
        let next = asleep.iter().find(|(_, server)| server.load() < soft);
        match (awake.iter().min_by_key(|(_, server)| server.load()), next) {
            (Some((index, _)), next) => {
                if let Some(sleeper) = next.and_then(|(_, server)| server.sleeper.as_ref()) {
                    sleeper.wake();
                }
                Some(*index)
            }
            (None, Some((index, _))) => Some(*index),
            (None, None) => asleep.iter().min_by_key(|(_, server)| server.load()).map(|(index, _)| *index),
        }
    }
}

impl Server {
    /// Sessions that have it, and clients that wait for it.
    fn load(&self) -> usize {
        self.sleeper.as_ref().map_or(0, |sleeper| {
            let (leases, held) = sleeper.load();
            leases + held
        })
    }
}
