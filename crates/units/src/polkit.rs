//! The rules for polkit(8) that let the user of the unit control the units of the configuration.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::unit::Manager;
use dormouse_config::model::Config;

use super::{USER, rules};

/// Returns the units of the system's service manager that the configuration names, and the primary names of those that
/// it names by an alias: polkit gets the primary name.
pub(super) fn units(config: &Config, primary: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let mut units = BTreeSet::new();
    for (_, _, wake) in rules::workloads(config) {
        if let ActivatorConfig::Unit(unit) = wake {
            if unit.manager == Manager::System {
                units.extend(primary(&unit.name));
                units.insert(unit.name.clone());
            }
        }
    }
    units
}

/// Returns the rules file.
pub(super) fn text(units: &BTreeSet<String>) -> String {
    let mut text = format!(
        "// Lets the user {USER} start, stop, freeze and thaw the units that its configuration names, and no other unit.\n\
         // Written by dormouse check --polkit: write it again when the configuration names other units.\n\
         // Save it as /etc/polkit-1/rules.d/50-dormouse.rules, which polkit reads at once.\n"
    );
    if units.is_empty() {
        text.push_str("// The configuration names no unit of the system's service manager.\n");
        return text;
    }
    text.push_str("polkit.addRule(function(action, subject) {\n    var units = [\n");
    for (index, unit) in units.iter().enumerate() {
        let comma = if index + 1 < units.len() { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "        {}{comma}", literal(unit));
    }
    let _ = write!(
        text,
        "    ];\n\
         \x20   // The service manager asks for \"stop\" before it freezes a unit, and for \"start\" before it thaws one.\n\
         \x20   // dormouse kills a unit that does not stop in time, and resets its failure before a start.\n\
         \x20   var verbs = [\"start\", \"stop\", \"kill\", \"reset-failed\"];\n\
         \x20   if (action.id == \"org.freedesktop.systemd1.manage-units\" &&\n\
         \x20       subject.user == {} &&\n\
         \x20       units.indexOf(action.lookup(\"unit\")) >= 0 &&\n\
         \x20       verbs.indexOf(action.lookup(\"verb\")) >= 0) {{\n\
         \x20       return polkit.Result.YES;\n\
         \x20   }}\n\
         }});\n",
        literal(USER)
    );
    text
}

/// Returns a text as a JavaScript string. All but a few characters are escaped, so that a name can neither end the string
/// nor contain a line break of JavaScript (U+2028).
fn literal(text: &str) -> String {
    let mut escaped = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok(c) if c.is_ascii_alphanumeric() || ":-_.@".contains(c) => escaped.push(c),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped.push('"');
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rules_name_the_units_and_the_user() {
        let units = ["a.service", "dev-disk-by\\x2dlabel.mount"].map(str::to_owned).into();
        let text = text(&units);
        assert!(
            text.contains("\"a.service\",\n        \"dev-disk-by\\u005cx2dlabel.mount\"\n    ];"),
            "{text}"
        );
        assert!(text.contains("subject.user == \"dormouse\" &&"), "{text}");
    }

    #[test]
    fn without_units_there_is_no_rule() {
        assert!(!text(&BTreeSet::new()).contains("addRule"));
    }

    proptest! {
        /// JSON strings are JavaScript strings.
        #[test]
        fn a_name_is_one_string_whatever_it_contains(name in any::<String>()) {
            let literal = literal(&name);
            prop_assert!(literal.bytes().all(|byte| byte.is_ascii_graphic()), "{literal}");
            prop_assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), name);
        }
    }
}
