//! The keys of a service, in the order of the manual.

mod addresses;
mod pool;
mod rules;
mod sessions;
mod wake;

use super::Key;

/// The keys of a service and of its tables, in the order of the manual.
pub const SERVICE: &[Key] = &ALL;

const PARTS: &[&[Key]] = &[addresses::KEYS, wake::KEYS, rules::KEYS, pool::KEYS, sessions::KEYS];
const ALL: [Key; count(PARTS)] = joined(PARTS);

/// Returns the number of keys.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which reports a wrong index")]
const fn count(parts: &[&[Key]]) -> usize {
    let (mut count, mut part) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

/// Returns the keys of all parts.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which reports a wrong index")]
const fn joined<const N: usize>(parts: &[&[Key]]) -> [Key; N] {
    let mut keys = [super::key("", "", ""); N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut number = 0;
        while number < parts[part].len() {
            keys[at] = parts[part][number];
            at += 1;
            number += 1;
        }
        part += 1;
    }
    keys
}
