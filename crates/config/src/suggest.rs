//! Suggestions for misspelt words.

use dormouse_core::timespan::{TimeSpan, units};

/// Returns the word of `known` that is nearest to `given`, if it is near enough.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost of the distance is the product of the lengths.
    if given.len() > MAX_LENGTH {
        return None;
    }
    let folded = given.to_lowercase().replace('-', "_");
    let difference = |word: &str| {
        let distance = distance(&folded, word);
        // All letters, in another order.
        if distance > 1 && letters(&folded) == letters(word) { 1 } else { distance }
    };
    known
        .into_iter()
        .map(|word| (difference(&word.replace('-', "_")), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Returns the word of a few that is nearest to `given`, if it is near enough and no other is as near.
pub fn nearest_choice<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.into_iter().collect();
    let meant = nearest(given, known.iter().copied())?;
    let others = known.iter().copied().filter(|word| *word != meant);
    let folded = given.to_lowercase();
    nearest(given, others)
        .is_none_or(|other| distance(&folded, meant) < distance(&folded, other))
        .then_some(meant)
}

/// The longest word to look for; each known word is shorter than half of it.
const MAX_LENGTH: usize = 64;

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<_> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// Returns the time span with the nearest names of units, if that is a time span: `5min` for `5mn`.
pub(super) fn nearest_span(given: &str) -> Option<String> {
    if given.len() > MAX_LENGTH {
        return None;
    }
    let mut span = String::new();
    let mut rest = given;
    while !rest.is_empty() {
        let is_unit = rest.starts_with(char::is_alphabetic);
        let end = rest.find(|c: char| c.is_alphabetic() != is_unit).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        span.push_str(if is_unit { nearest_unit(part)? } else { part });
        rest = after;
    }
    span.parse::<TimeSpan>().ok().map(|_| span)
}

/// Returns the unit that begins with this text, or else the nearest.
fn nearest_unit(given: &str) -> Option<&'static str> {
    if let Some(unit) = units().find(|unit| *unit == given) {
        return Some(unit);
    }
    // Every unit of one letter resembles every other letter.
    let longer = || units().filter(|unit| unit.len() > 1 && given.chars().nth(1).is_some());
    let abbreviated = longer().filter(|unit| unit.starts_with(&given.to_lowercase()));
    abbreviated.min_by_key(|unit| unit.len()).or_else(|| nearest(given, longer()))
}

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
            ("dohl", Some("hold")),
            ("retries", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }

    #[test]
    fn a_choice_is_suggested_if_no_other_is_as_near() {
        for (given, meant) in
            [("V2", Some("v2")), ("2", Some("v2")), ("v3", None), ("v", None), ("none", None)]
        {
            assert_eq!(nearest_choice(given, ["v1", "v2"]), meant, "{given}");
        }
    }

    #[test]
    fn the_nearest_unit_is_found() {
        for (given, meant) in [
            ("5mn", Some("5min")),
            ("5 mins", Some("5 min")),
            ("1h 30sek", Some("1h 30sec")),
            ("1mon", Some("1month")),
            ("2Hours", Some("2hours")),
            ("30x", None),
            ("often", None),
            ("5mn!", None),
            ("", None),
        ] {
            assert_eq!(nearest_span(given).as_deref(), meant, "{given}");
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
