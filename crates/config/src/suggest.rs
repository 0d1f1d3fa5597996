//! Suggestions for misspelt words.

/// Returns the word of `known` that is nearest to `given`, if it is near enough.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost of the distance is the product of the lengths.
    if given.len() > LONGEST {
        return None;
    }
    let folded = given.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|word| (distance(&folded, &word.replace('-', "_")), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The longest word to look for; each known word is shorter than half of it.
const LONGEST: usize = 64;

/// Returns the number of letters to insert, remove, replace or exchange with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, letter) in a.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(letter != *other);
            let mut cost = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let left = column.checked_sub(1).and_then(|left| b.get(left));
            if previous == Some(*other) && left == Some(&letter) {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            next.push(cost);
        }
        before = last;
        last = next;
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let known = ["listen", "to", "hold", "minimum_uptime", "proxy_protocol"];
        for (given, meant) in [
            ("lsiten", Some("listen")),
            ("Listen", Some("listen")),
            ("listne", Some("listen")),
            ("minimum-uptime", Some("minimum_uptime")),
            ("min_uptime", Some("minimum_uptime")),
            ("hodl", Some("hold")),
            ("too", Some("to")),
            ("retries", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
