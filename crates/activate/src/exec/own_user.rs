//! A user that belongs to one service alone. It has a number, and no entry in the database of users.

use std::ops::RangeInclusive;

use dormouse_sys::identity::Identity;
use dormouse_sys::users;

use super::account::{Account, AccountError};

/// The numbers that systemd reserves for users of services (systemd.exec(5), `DynamicUser=`).
const RANGE: RangeInclusive<u32> = 61_184..=65_519;
/// How many numbers are tried. Those before are taken by users or groups of the machine.
const ATTEMPTS: u32 = 64;

impl Account {
    /// Returns the user of a service: the first number of a sequence that depends only on the name, and that is neither a
    /// user nor a group of this machine. It stays the same as long as the machine has no user of that number.
    ///
    /// # Errors
    /// When the databases cannot be read, or all numbers that are tried are taken.
    pub fn own(service: &str) -> Result<Self, AccountError> {
        for attempt in 0..ATTEMPTS {
            let id = candidate(service, attempt);
            let taken = users::user_with_id(id).map_err(AccountError::Database)?.is_some()
                || users::group_exists(id).map_err(AccountError::Database)?;
            if !taken {
                let identity = Identity { uid: id, gid: id, groups: vec![id] };
                return Ok(Self { name: id.to_string(), identity, home: None, shell: None });
            }
        }
        Err(AccountError::NoneFree)
    }
}

/// Returns a number of the sequence.
fn candidate(service: &str, attempt: u32) -> u32 {
    // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. A later version of dormouse must find the same user.
    let bytes = attempt.to_le_bytes().into_iter().chain(service.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let count = u64::from(RANGE.end() - RANGE.start()) + 1;
    // The low bits of this hash are the weak ones.
    let index = (hash ^ (hash >> 32)) % count;
    RANGE.start() + u32::try_from(index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_service_keeps_its_user() {
        // Files belong to these numbers: they never change.
        let first: Vec<_> = ["web", "db", "main"].map(|service| candidate(service, 0)).to_vec();
        assert_eq!(first, [65_299, 64_377, 62_578]);
        assert_ne!(candidate("web", 0), candidate("web", 1));
        let account = Account::own("web").unwrap();
        assert!(RANGE.contains(&account.identity.uid) && account.identity.gid == account.identity.uid);
        assert_eq!(account.identity.groups, [account.identity.gid]);
        assert_eq!(Account::own("web").unwrap(), account);
    }

    #[test]
    fn users_are_spread_over_the_range() {
        let all: HashSet<_> = (0..4000).map(|number| candidate(&format!("service-{number}"), 0)).collect();
        assert!(all.iter().all(|id| RANGE.contains(id)));
        // 4000 of 4336 at random: 2613 different ones are expected.
        assert!((2500..2750).contains(&all.len()), "{}", all.len());
    }
}
