//! Which of a server's addresses are tried, where it has several: not those that have just led to a stranger. And which of
//! them took no connection, so that another program may have taken them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use super::error::AddressFailed;

/// How long an address that led to a stranger is not tried while there are others.
const AVOIDED: Duration = Duration::from_secs(5);
/// The largest number of addresses to keep. A name may have any number of addresses, one after another.
const MOST: usize = 64;

/// What is known of the addresses of one server.
#[derive(Debug, Default)]
pub(super) struct Choice(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The addresses that led to a stranger, and when.
    strangers: Vec<(Endpoint, Instant)>,
    /// The addresses that took no connection since the last look.
    refused: Vec<Endpoint>,
}

impl Choice {
    /// Returns the addresses to try. `None`: all of them.
    pub(super) fn among(&self, endpoints: &[Endpoint]) -> Option<Vec<Endpoint>> {
        if endpoints.len() < 2 {
            return None;
        }
        let mut known = self.known();
        known.strangers.retain(|(_, since)| since.elapsed() < AVOIDED);
        if known.strangers.is_empty() {
            return None;
        }
        let others = endpoints.iter().filter(|endpoint| !known.is_avoided(endpoint));
        Some(others.cloned().collect()).filter(|others: &Vec<_>| !others.is_empty())
    }

    /// Avoids an address, which led to a stranger. Returns whether another one of these is left to try.
    pub(super) fn avoid(&self, stranger: &Endpoint, endpoints: &[Endpoint]) -> bool {
        let mut known = self.known();
        known.strangers.retain(|(endpoint, _)| endpoint != stranger);
        if known.strangers.len() < MOST {
            known.strangers.push((stranger.clone(), Instant::now()));
        }
        endpoints.iter().any(|endpoint| !known.is_avoided(endpoint))
    }

    /// Records the addresses that took no connection, while another one did.
    pub(super) fn record_refused(&self, failures: Vec<AddressFailed>) {
        if failures.is_empty() {
            return;
        }
        let mut known = self.known();
        for failed in failures {
            if !known.refused.contains(&failed.address) && known.refused.len() < MOST {
                known.refused.push(failed.address);
            }
        }
    }

    /// Returns the addresses that took no connection since the last call.
    pub(super) fn take_refused(&self) -> Vec<Endpoint> {
        std::mem::take(&mut self.known().refused)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_avoided(&self, endpoint: &Endpoint) -> bool {
        self.strangers.iter().any(|(stranger, _)| stranger == endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn endpoint(number: u8) -> Endpoint {
        Endpoint::Inet(([127, 0, 0, number], 80).into())
    }

    #[test]
    fn an_address_of_a_stranger_is_avoided_while_another_is_left() {
        let (choice, all) = (Choice::default(), [endpoint(1), endpoint(2)]);
        assert_eq!(choice.among(&all), None);
        assert!(choice.avoid(&endpoint(1), &all));
        assert_eq!(choice.among(&all), Some(vec![endpoint(2)]));
        assert_eq!(choice.among(&[endpoint(1)]), None);
        assert!(!choice.avoid(&endpoint(2), &all));
        assert_eq!(choice.among(&all), None);
        for number in 0..=u8::MAX {
            choice.avoid(&endpoint(number), &all);
        }
        assert_eq!(choice.known().strangers.len(), MOST);
    }

    #[test]
    fn addresses_that_took_no_connection_are_told_once() {
        let choice = Choice::default();
        let failed = |number| AddressFailed { address: endpoint(number), error: Errno::CONNREFUSED };
        choice.record_refused(vec![failed(1), failed(2)]);
        choice.record_refused(vec![failed(1)]);
        assert_eq!(choice.take_refused(), [endpoint(1), endpoint(2)]);
        assert_eq!(choice.take_refused(), []);
    }
}
