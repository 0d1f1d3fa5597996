//! The primary names of units: an alias is a symbolic link in the load path, systemd.unit(5).

use std::fs;
use std::path::Path;

/// The load path of the system's service manager.
const LOAD_PATH: [&str; 11] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// The largest number of links from an alias to its unit.
const MAX_LINKS: usize = 8;

/// Returns the primary name of a unit that is named by an alias, otherwise `None`.
pub(super) fn primary(unit: &str) -> Option<String> {
    primary_in(&LOAD_PATH.map(Path::new), unit)
}

fn primary_in(directories: &[&Path], unit: &str) -> Option<String> {
    let mut name = unit.to_owned();
    for _ in 0..MAX_LINKS {
        match linked(directories, &name) {
            Some(other) => name = other,
            None => break,
        }
    }
    (name != unit).then_some(name)
}

/// Returns the name to which the file of a unit, or of its template, is a link.
fn linked(directories: &[&Path], unit: &str) -> Option<String> {
    let (stem, suffix) = unit.rsplit_once('.')?;
    let instance = stem.split_once('@');
    let template = instance.map(|(prefix, _)| format!("{prefix}@.{suffix}"));
    for name in [Some(unit.to_owned()), template].into_iter().flatten() {
        let Some(file) = directories.iter().map(|directory| directory.join(&name)).find(|file| {
            // A link to a missing file exists, too.
            file.symlink_metadata().is_ok()
        }) else {
            continue;
        };
        let target = fs::read_link(file).ok()?;
        let target = target.file_name()?.to_str()?;
        let (target_stem, target_suffix) = target.rsplit_once('.')?;
        if target == name || target_suffix != suffix {
            return None;
        }
        return Some(match (target_stem.strip_suffix('@'), instance) {
            (Some(prefix), Some((_, instance))) => format!("{prefix}@{instance}.{suffix}"),
            _ => target.to_owned(),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use dormouse_tests::temp::TempDir;

    use super::*;

    #[test]
    fn an_alias_is_followed_to_the_unit() {
        let dir = TempDir::new().unwrap();
        let (first, second) = (dir.join("etc"), dir.join("lib"));
        for directory in [&first, &second] {
            fs::create_dir(directory).unwrap();
        }
        for name in ["web.service", "db@.service", "own.service"] {
            fs::write(second.join(name), "").unwrap();
        }
        symlink(second.join("web.service"), first.join("www.service")).unwrap();
        symlink("www.service", first.join("http.service")).unwrap();
        symlink("db@.service", first.join("sql@.service")).unwrap();
        symlink("/dev/null", first.join("own.service")).unwrap();
        symlink("loop-b.service", first.join("loop-a.service")).unwrap();
        symlink("loop-a.service", first.join("loop-b.service")).unwrap();
        let primary = |unit| primary_in(&[&first, &second], unit);
        assert_eq!(primary("www.service").as_deref(), Some("web.service"));
        assert_eq!(primary("http.service").as_deref(), Some("web.service"));
        assert_eq!(primary("sql@main.service").as_deref(), Some("db@main.service"));
        for unit in ["web.service", "db@main.service", "own.service", "missing.service", "loop-a.service"] {
            assert_eq!(primary(unit), None, "{unit}");
        }
    }
}
