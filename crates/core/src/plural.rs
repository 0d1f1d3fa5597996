//! Numbers with their nouns, and lists of words.

use std::fmt::Display;

/// Returns a number with its noun: `1 session`, `2 sessions`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, singular: &str, plural: &str) -> String {
    let noun = if number == N::from(1) { singular } else { plural };
    format!("{number} {noun}")
}

/// Returns words as a list in a sentence: `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn enumerated(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let text = |number: u64| counted(number, "session", "sessions");
        assert_eq!([text(0), text(1), text(2)], ["0 sessions", "1 session", "2 sessions"]);
    }

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        assert_eq!(
            [&[][..], &["a"], &["a", "b"], &["a", "b", "c"]].map(enumerated),
            ["", "a", "a and b", "a, b and c"]
        );
    }
}
