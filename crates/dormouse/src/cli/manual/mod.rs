//! The manual pages, made from the definitions of flags and keys.

mod convert;
mod overview;
mod pages;
mod status;
mod top;
mod trust;

use std::fmt::Write as _;

use dormouse_config::keys::{self, Key};

use super::COMMANDS;
use super::check::CHECK;
use super::convert::CONVERT;
use super::flags::Definition;
use super::proxy_flags::PROXY;
use super::reload::RELOAD;
use super::run_flags::RUN;
use super::steer::VERBS;

/// The short name of the page that lists the commands.
const OVERVIEW: &str = "dormouse";

/// The short names of the pages and their files.
const PAGES: [(&str, &str); 9] = [
    (OVERVIEW, "dormouse.8"),
    ("proxy", "dormouse-proxy.8"),
    ("run", "dormouse-run.8"),
    ("reload", "dormouse-reload.8"),
    ("check", "dormouse-check.8"),
    ("convert", "dormouse-convert.1"),
    ("status", "dormouse-status.8"),
    ("top", "dormouse-top.8"),
    ("toml", "dormouse.toml.5"),
];

/// The names of the pages.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(name, _)| *name)
}

/// Returns the list of the pages with what they describe, and how to read them.
pub(super) fn list() -> String {
    let mut text = String::from("Read a manual page with: dormouse manual PAGE | man -l -\n\nPages:\n");
    for (name, file) in PAGES {
        let title = page(name).unwrap_or_default();
        let title = title.lines().skip_while(|line| *line != ".SH NAME").nth(1).unwrap_or_default();
        let title = title.replace('\\', "");
        let (_, about) = title.split_once(" - ").unwrap_or_default();
        let (page, section) = file.rsplit_once('.').unwrap_or((file, ""));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:8} {:20} {about}", format!("{page}({section})"));
    }
    text
}

/// Returns the file of the page that describes a command.
fn file_of(command: &str) -> &'static str {
    let page = if VERBS.contains(&command) { "status" } else { command };
    let of = |name: &str| PAGES.iter().find(|(short, _)| *short == name).map(|(_, file)| *file);
    of(page).or_else(|| of(OVERVIEW)).unwrap_or_default()
}

/// Returns the page with this short name or file name, or that of this command, as source for man(1).
pub(super) fn page(name: &str) -> Option<String> {
    let stem = |file: &'static str| file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let of_command =
        COMMANDS.iter().find(|(command, _)| *command == name).map(|(command, _)| file_of(command));
    let is_meant = |(short, file): &&(&'static str, &'static str)| {
        [*short, *file, stem(file)].contains(&name) || of_command == Some(file)
    };
    let (name, _) = PAGES.iter().find(is_meant)?;
    Some(match *name {
        OVERVIEW => overview::page(),
        "proxy" => around(pages::PROXY, &options(PROXY, |definition| definition.manual.to_owned())),
        "run" => around(pages::RUN, &options(RUN, Definition::description)),
        "reload" => around(pages::RELOAD, &options(RELOAD, |definition| definition.manual.to_owned())),
        "convert" => around(convert::PAGE, &options(CONVERT, |definition| definition.manual.to_owned())),
        "status" => {
            around(status::STATUS, &options(super::status::STATUS, |definition| definition.manual.to_owned()))
        }
        "top" => around(top::PAGE, &options(super::top::TOP, |definition| definition.manual.to_owned())),
        "check" => around(pages::CHECK, &options(CHECK, |definition| definition.manual.to_owned())),
        _ => around(pages::TOML, &[&configuration(), &trust::proxy_headers(), trust::CREDENTIALS].concat()),
    })
}

fn around((head, tail): (&str, &str), middle: &str) -> String {
    format!("{head}{middle}{tail}")
}

fn options<F>(definitions: &[Definition<F>], description: impl Fn(&Definition<F>) -> String) -> String {
    let mut text = String::new();
    for definition in definitions {
        let Definition { spec, value, .. } = definition;
        let short = spec.short.map_or_else(String::new, |short| format!(", \\fB\\-{short}\\fR"));
        let equals = if value.is_empty() { String::new() } else { format!("=\\fI{}\\fR", roff(value)) };
        let manual = roff(&description(definition));
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".TP\n\\fB\\-\\-{}\\fR{equals}{short}\n{manual}", roff(spec.long));
    }
    text
}

/// The keys, a section for each table.
fn configuration() -> String {
    let mut text = String::from(".SH TOP LEVEL\n");
    text.extend(keys::TOP.iter().map(described));
    text.push_str(".SH SERVICES\nThe keys of [services.\\fINAME\\fR]:\n");
    text.extend(keys::SERVICE.iter().filter(|key| key.table().is_empty()).map(described));
    let tables =
        keys::SERVICE.iter().filter(|key| keys::SERVICE.iter().any(|inner| inner.table() == key.path));
    for table in tables {
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".SS \"The table {}\"", roff(table.path));
        text.extend(keys::SERVICE.iter().filter(|key| key.table() == table.path).map(described));
    }
    text
}

fn described(key: &Key) -> String {
    let Key { takes, example, default, manual, .. } = key;
    let default = if default.is_empty() { String::new() } else { format!(" Default: {}.", roff(default)) };
    format!(
        ".TP\n\\fB{}\\fR = \\fI{}\\fR\n{}{default} Takes {}.\n",
        roff(key.name()),
        roff(example),
        roff(manual),
        roff(takes),
    )
}

fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_pages_are_in_step() {
        for (name, file) in PAGES {
            let path = format!("{}/../../docs/man/{file}", env!("CARGO_MANIFEST_DIR"));
            let shipped = std::fs::read_to_string(path).unwrap_or_default();
            assert!(page(name) == Some(shipped), "run: cargo run -- manual {name} > docs/man/{file}");
        }
    }

    /// Under the shipped unit sockets can be created in its runtime directory alone, and /tmp is its own.
    #[test]
    fn paths_in_examples_are_in_directories_that_the_unit_has() {
        let top = |file: &str| {
            std::fs::read_to_string(format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let pages = ["run", "toml"].map(|name| page(name).unwrap());
        for text in pages.into_iter().chain(["README.md", "docs/examples/dormouse.toml"].map(top)) {
            assert!(!text.contains("/tmp/") && !text.contains("\"/tmp\""), "{text}");
            for after in text.split("/run/").skip(1) {
                let path = after.split(|c: char| c.is_whitespace() || "\"'?,;:)".contains(c)).next().unwrap();
                let is_directory = !path.contains('.') || path.ends_with('.');
                assert!(path.contains('/') || is_directory, "/run/{path} is not in a directory of its own");
            }
        }
    }

    /// Returns the parts of a text that are configurations: lines that begin with `indent`, with empty lines between them.
    fn configurations(text: &str, indent: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for line in text.lines() {
            match (line.strip_prefix(indent), found.last_mut()) {
                (Some(line), Some(part)) => part.extend([line, "\n"]),
                (None, Some(part)) if line.is_empty() => part.push('\n'),
                _ => found.push(String::new()),
            }
        }
        found.retain(|part| part.contains("[services."));
        found
    }

    #[test]
    fn the_examples_in_the_documents_are_valid_and_without_warnings() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = configurations(&std::fs::read_to_string(readme).unwrap(), "    ");
        let page = page("toml").unwrap().replace("\\-", "-");
        let (_, examples) = page.split_once(".SH EXAMPLES\n").unwrap();
        let examples: Vec<_> = examples
            .split(".nf\n")
            .skip(1)
            .map(|part| part.split(".fi\n").next().unwrap().to_owned())
            .collect();
        assert_eq!((readme.len(), examples.len()), (2, 2));
        for text in readme.into_iter().chain(examples) {
            let source = dormouse_config::single("x.toml".as_ref(), &text);
            let read = dormouse_config::read(&[source], dormouse_config::Environment::SYSTEM);
            assert!(read.result.is_ok() && read.warnings.is_empty(), "{read:?}");
        }
    }

    #[test]
    fn pages_have_several_names() {
        for name in ["toml", "dormouse.toml", "dormouse.toml.5"] {
            assert_eq!(page(name), page("toml"));
        }
        assert_eq!(page("nothing"), None);
        assert_eq!(page("wake"), page("status"));
        assert_eq!(page("demo"), page("dormouse"));
    }

    #[test]
    fn each_command_has_a_page() {
        for (command, summary) in COMMANDS {
            assert!(page(command).is_some(), "{command}");
            assert!(
                overview::page().contains(&format!("\\fB{command}\\fR\n{}.", roff(summary))),
                "{command}"
            );
        }
    }
}
