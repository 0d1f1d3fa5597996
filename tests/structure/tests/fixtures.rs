//! The check itself, on small crates.

use std::path::Path;

use dormouse_structure::{Error, Source, circles, read};

fn fixture(name: &str) -> Result<Source, Error> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("lib.rs"))
}

fn found(name: &str) -> Result<Vec<String>, Error> {
    Ok(circles(&fixture(name)?).iter().map(ToString::to_string).collect())
}

#[test]
fn circles_are_found_with_the_names_that_close_them() -> Result<(), Error> {
    let found = found("circle")?;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("crate: a, b form a circle"), "{}", found[0]);
    assert!(found[0].contains("a/inner.rs:3: crate::b::text"), "{}", found[0]);
    assert!(found[0].contains("b.rs:1: super::Name"), "{}", found[0]);
    assert!(found[1].starts_with("crate: d, e form a circle"), "{}", found[1]);
    assert!(found[1].contains("d.rs:4: self.go_on()"), "{}", found[1]);
    Ok(())
}

#[test]
fn one_way_is_no_circle() -> Result<(), Error> {
    assert_eq!(found("line")?, Vec::<String>::new());
    Ok(())
}

#[test]
fn lines_of_tests_do_not_count() -> Result<(), Error> {
    // c.rs has six lines, four of them are tests.
    let source = fixture("circle")?;
    assert_eq!(source.lines, 8 + 1 + 4 + 4 + 2 + 6 + 4);
    Ok(())
}
