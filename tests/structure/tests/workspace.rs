//! The crates of this workspace.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use dormouse_structure::{Circle, Source, circles, read};

/// The directory of the workspace.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");

/// The circles that are still there: the crate, the parent, the members. Remove entries, do not add any.
const KNOWN: &[(&str, &str, &[&str])] = &[];

/// The crates that are larger than [`LARGEST`], with the size that they must not exceed.
const KNOWN_LARGE: &[(&str, usize)] = &[];

/// The largest number of lines of a crate, without tests.
const LARGEST: usize = 12_000;

/// The crates, each with its name, or why they cannot be read. A package with a library and a program has two.
static CRATES: LazyLock<Result<Vec<(String, Source)>, String>> =
    LazyLock::new(|| read_all().map_err(|error| error.to_string()));

fn read_all() -> Result<Vec<(String, Source)>, Box<dyn Error>> {
    let mut packages = vec![Path::new(TOP).join("benches")];
    for entry in fs::read_dir(Path::new(TOP).join("crates"))? {
        packages.push(entry?.path());
    }
    let mut found = Vec::new();
    for package in packages {
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for root in ["lib.rs", "main.rs"].map(|file| package.join("src").join(file)) {
            if root.is_file() {
                found.push((name.clone(), read(&root)?));
            }
        }
    }
    Ok(found)
}

fn is_known(package: &str, circle: &Circle) -> bool {
    KNOWN.iter().any(|(known, parent, members)| {
        let members: BTreeSet<String> = members.iter().map(|&name| name.to_owned()).collect();
        *known == package && *parent == circle.parent && circle.members.is_subset(&members)
    })
}

#[test]
fn modules_form_no_new_circle() -> Result<(), &'static String> {
    let mut new = Vec::new();
    for (package, source) in CRATES.as_ref()? {
        for circle in circles(source) {
            if !is_known(package, &circle) {
                new.push(format!("{package}: {circle}").replace(TOP, ""));
            }
        }
    }
    assert!(
        new.is_empty(),
        "{} new circles. Move what both sides need into a module below them, or pass it in.\n\n{}",
        new.len(),
        new.join("\n\n")
    );
    Ok(())
}

#[test]
fn crates_stay_small_enough_to_read() -> Result<(), &'static String> {
    for (package, Source { lines, .. }) in CRATES.as_ref()? {
        println!("{package}: {lines} lines without tests");
        let known = KNOWN_LARGE.iter().find(|(known, _)| known == package);
        let largest = known.map_or(LARGEST, |(_, lines)| *lines);
        assert!(
            *lines <= largest,
            "{package} has {lines} lines without tests, more than {largest}: split it"
        );
    }
    Ok(())
}
