//! The keys of the configuration: one definition for each, which the reader, the manual, the help and the completion use.

mod service;
mod top;

pub use service::SERVICE;
pub use top::TOP;

/// The definition of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The path from the service, such as `idle.stop`; at the top level the name.
    pub path: &'static str,
    /// The accepted values, in words.
    pub takes: &'static str,
    /// An example of a value, in TOML.
    pub example: &'static str,
    /// The value without the key, in TOML or in words; empty if there is none.
    pub default: &'static str,
    /// The flag of `dormouse run` that sets the key, with its dashes.
    pub flag: Option<&'static str>,
    /// The description in the manual.
    pub manual: &'static str,
}

impl Key {
    /// Returns the name of the key in its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Returns the name of the table of the key, such as `idle`; empty for the service itself.
    pub fn table(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

const fn key(path: &'static str, takes: &'static str, example: &'static str) -> Key {
    Key { path, takes, example, default: "", flag: None, manual: "" }
}

const fn flagged(path: &'static str, flag: &'static str, takes: &'static str, example: &'static str) -> Key {
    Key { flag: Some(flag), ..key(path, takes, example) }
}

const SPAN: &str = "a time span";
const COMMAND: &str = "a command: a string or a list of strings";
const TABLE: &str = "a table";
const TEXT: &str = "a string";
const TEXTS: &str = "a string or a list of strings";
const SWITCH: &str = "true or false";
const COUNT: &str = "a number";

/// Returns the key of a service, or else at the top of a file, with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    SERVICE.iter().chain(TOP).find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_description_and_an_example_in_toml() {
        for key in TOP.iter().chain(SERVICE) {
            assert!(key.manual.ends_with('.'), "{}", key.path);
            let text = format!("key = {}", key.example);
            assert!(toml::de::DeTable::parse(&text).is_ok(), "{}: {}", key.path, key.example);
        }
    }
}
