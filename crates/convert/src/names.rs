//! Unique names for services and servers.

use std::collections::HashSet;

use crate::report::{Report, Statement};

/// Returns a valid name that is not taken yet, and marks it as taken. Reports a name that had to change.
pub(crate) fn unique(
    name: &str,
    taken: &mut HashSet<String>,
    statement: &Statement,
    report: &mut Report,
) -> String {
    const MAX_CHARS: usize = 56;
    let valid = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let base: String = name.chars().map(valid).take(MAX_CHARS).collect();
    let base = match base.chars().next() {
        None => "unnamed".to_owned(),
        Some('.' | '-') => format!("_{base}"),
        Some(_) => base,
    };
    let mut chosen = base.clone();
    let mut number = 2u64;
    while !taken.insert(chosen.clone()) {
        chosen = format!("{base}-{number}");
        number += 1;
    }
    if chosen != name {
        report.note(statement, format!("renamed to {chosen}"));
    }
    chosen
}
