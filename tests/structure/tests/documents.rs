//! The documents: the files, functions and pages that they name exist.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the workspace.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");

/// The folders with documents, relative to the workspace.
const FOLDERS: [&str; 5] = [".", "docs", "docs/architecture", "docs/contributing", "docs/decisions"];

/// Returns each document with its text.
fn documents() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(Path::new(TOP).join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path)?;
                found.push((path, text));
            }
        }
    }
    Ok(found)
}

/// Returns the pieces of a text in back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the items of a document: its paragraphs, and the entries of its lists.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    for line in text.lines() {
        let starts =
            line.is_empty() || line.starts_with("- ") || line.starts_with(|c: char| c.is_ascii_digit());
        if starts {
            items.push(String::new());
        }
        if let Some(item) = items.last_mut() {
            item.push_str(line);
            item.push('\n');
        }
    }
    items
}

#[test]
fn links_lead_to_files() -> Result<(), Box<dyn Error>> {
    let mut broken = Vec::new();
    for (path, text) in documents()? {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let folder = path.parent().unwrap_or(Path::new(TOP));
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                broken.push(format!("{}: {link}", path.display()).replace(TOP, ""));
            }
        }
    }
    assert!(broken.is_empty(), "links without a file:\n{}", broken.join("\n"));
    Ok(())
}

/// Readers who upgrade find first what they have to do.
#[test]
fn each_release_has_its_kinds_of_changes_once_and_in_order() -> Result<(), Box<dyn Error>> {
    const KINDS: [&str; 6] = ["Upgrading", "Added", "Changed", "Fixed", "Removed", "Security"];
    let text = fs::read_to_string(Path::new(TOP).join("CHANGELOG.md"))?;
    for release in text.split("\n## ").skip(1) {
        let kinds: Vec<_> = release.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let expected: Vec<_> = KINDS.into_iter().filter(|kind| kinds.contains(kind)).collect();
        assert_eq!(kinds, expected, "{}", release.lines().next().unwrap_or_default());
    }
    assert!(text.contains("\n### Upgrading\n"));
    Ok(())
}

/// Appends the text of all Rust files below a folder.
fn read_sources(folder: &Path, text: &mut String) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(())
}

/// Each row of the threat model ends with the tests that carry out the attack.
#[test]
fn each_threat_has_a_test() -> Result<(), Box<dyn Error>> {
    let mut sources = String::new();
    for folder in ["crates", "tests"] {
        read_sources(&Path::new(TOP).join(folder), &mut sources)?;
    }
    let model = fs::read_to_string(Path::new(TOP).join("SECURITY.md"))?;
    let rows = model.lines().skip_while(|line| !line.starts_with("| who | tries |")).skip(2);
    // Tests in a virtual machine or a namespace are defined by a macro: case!(System, NAME, …).
    let is_defined = |name: &str| {
        sources.contains(&format!("fn {name}(")) || sources.contains(&format!("case!(System, {name},"))
    };
    let mut missing = Vec::new();
    let mut count = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let tests = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let names: Vec<_> = quoted(tests).collect();
        if names.is_empty() || !names.iter().all(|name| is_defined(name)) {
            missing.push(row.to_owned());
        }
        count += 1;
    }
    assert!(count > 0, "SECURITY.md has no rows with threats");
    assert!(missing.is_empty(), "rows without an existing test:\n{}", missing.join("\n"));
    Ok(())
}

/// A path in back quotes that begins with `crates/` is a file or a folder. A function that the same item names, such as
/// `accept_all()`, is defined in one of the files that the item names. The guides for extensions also name files that the
/// reader is to write.
#[test]
fn sources_and_functions_exist() -> Result<(), Box<dyn Error>> {
    let mut missing = Vec::new();
    for (path, text) in documents()? {
        if path.parent().is_some_and(|folder| folder.ends_with("contributing")) {
            continue;
        }
        for item in items(&text) {
            let mut sources = String::new();
            for source in quoted(&item).filter(|piece| piece.starts_with("crates/")) {
                let file = Path::new(TOP).join(source);
                if !file.exists() {
                    missing.push(format!("{}: {source}", path.display()));
                } else if file.is_file() {
                    sources.push_str(&fs::read_to_string(file)?);
                }
            }
            if sources.is_empty() {
                continue;
            }
            for name in quoted(&item).filter_map(|piece| piece.strip_suffix("()")) {
                let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let defined = [format!("fn {name}("), format!("fn {name}<")];
                if is_name && !defined.iter().any(|definition| sources.contains(definition)) {
                    missing.push(format!("{}: {name}()", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not in the source:\n{}", missing.join("\n").replace(TOP, ""));
    Ok(())
}
