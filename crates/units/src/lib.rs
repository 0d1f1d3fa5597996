//! Unit files and rules for the rights that a configuration needs beyond those of the shipped unit,
//! docs/examples/dormouse.service.
//!
//! Each need has its place in the configuration, a reason and a remedy: lines in a drop-in, or advice. One table
//! (`rules`) leads from the configuration to the needs; paths and engines have modules of their own, because they
//! depend on files.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod drop_in;
mod engines;
mod files;
mod paths;
mod polkit;
mod rules;
mod unit_names;

use std::fmt::Write as _;

use dormouse_config::model::Config;

use self::files::Files;

/// The user of the shipped unit, and the name of its group.
const USER: &str = "dormouse";

/// The directory that the shipped unit creates for its user.
pub const RUNTIME: &str = "/run/dormouse";

/// A right that a part of the configuration needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    /// The place in the configuration, for example `services.web.listen`.
    place: String,
    /// What needs the right: a sentence without its full stop.
    why: String,
    remedy: Remedy,
}

/// What gives a right.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    /// These lines in a drop-in of the unit.
    DropIn(Vec<Setting>),
    /// Something that the administrator does elsewhere; each element is a line.
    Advice(Vec<String>),
}

/// A line of a unit file: the setting and its value.
type Setting = (&'static str, String);

/// Returns all needs, in the order of the table of rules.
fn needs(config: &Config, files: &Files) -> Vec<Need> {
    let mut needs = rules::needs(config);
    needs.extend(paths::needs(config, files));
    needs.extend(engines::needs(config, files));
    // Several servers of a service often need the same.
    let mut distinct: Vec<Need> = Vec::new();
    for need in needs {
        if !distinct.contains(&need) {
            distinct.push(need);
        }
    }
    distinct
}

/// Returns the drop-in for the unit.
pub fn drop_in(config: &Config) -> String {
    drop_in::text(&needs(config, &Files::system()))
}

/// Returns the rules for polkit.
pub fn polkit(config: &Config) -> String {
    polkit::text(&polkit::units(config, unit_names::primary))
}

/// Describes what the configuration needs. Empty if the unit's rights suffice.
pub fn describe(config: &Config) -> String {
    let mut text = String::new();
    let needs = needs(config, &Files::system());
    // Writing to a String cannot fail.
    if !needs.is_empty() {
        let _ = writeln!(
            text,
            "needs rights beyond the shipped dormouse.service; dormouse check --drop-in prints them"
        );
        for need in &needs {
            let _ = writeln!(text, "  {}: {}", need.place, need.why);
        }
    }
    let units = polkit::units(config, unit_names::primary);
    if !units.is_empty() {
        let names: Vec<_> = units.into_iter().collect();
        let _ = writeln!(text, "controls units by polkit; dormouse check --polkit prints the rules");
        let _ = writeln!(text, "  {}", names.join(", "));
    }
    text
}
