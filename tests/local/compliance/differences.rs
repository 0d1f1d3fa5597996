//! The suite and docs/differences.md contain the same differences.

use std::collections::BTreeSet;

use crate::case::Case;

const DIFFERENCES: &str = include_str!("../../../docs/differences.md");

/// Every section of the suite.
const SECTIONS: [(&str, &[Case]); 10] = [
    ("accept", crate::accept::CASES),
    ("command_line", crate::command_line::CASES),
    ("extras", crate::extras::CASES),
    ("forwarding", crate::forwarding::CASES),
    ("idle", crate::idle::CASES),
    ("lifecycle", crate::lifecycle::CASES),
    ("notifications", crate::notifications::CASES),
    ("proxy_header", crate::proxy_header::CASES),
    ("sockets", crate::sockets::CASES),
    ("target", crate::target::CASES),
];

fn in_suite() -> BTreeSet<&'static str> {
    let sections = SECTIONS.iter().chain([&("weaknesses", crate::weaknesses::CASES)]);
    sections.flat_map(|(_, cases)| cases.iter().filter_map(|case| case.expect.difference())).collect()
}

/// Returns the first column of the document's tables.
fn in_document() -> Vec<&'static str> {
    DIFFERENCES
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn every_difference_of_the_suite_is_in_the_document() {
    let document: BTreeSet<_> = in_document().into_iter().collect();
    let missing: Vec<_> = in_suite().difference(&document).copied().collect();
    assert!(missing.is_empty(), "docs/differences.md has no row for {}", missing.join(", "));
}

#[test]
fn every_difference_of_the_document_is_in_the_suite() {
    let suite = in_suite();
    let untested: Vec<_> = in_document().into_iter().filter(|id| !suite.contains(id)).collect();
    assert!(untested.is_empty(), "no case tests {}", untested.join(", "));
}

#[test]
fn no_difference_has_two_rows() {
    let rows = in_document();
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = rows.into_iter().filter(|id| !seen.insert(*id)).collect();
    assert!(twice.is_empty(), "docs/differences.md has several rows for {}", twice.join(", "));
}
