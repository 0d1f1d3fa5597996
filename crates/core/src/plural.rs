//! Numbers with their nouns.

use std::fmt::Display;

/// Returns a number with its noun: `1 session`, `2 sessions`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, singular: &str, plural: &str) -> String {
    let noun = if number == N::from(1) { singular } else { plural };
    format!("{number} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let text = |number: u64| counted(number, "session", "sessions");
        assert_eq!([text(0), text(1), text(2)], ["0 sessions", "1 session", "2 sessions"]);
    }
}
