//! One definition of each key, from which the reader knows what is known, and from which the manual is made.

mod service;
mod top;

pub use service::SERVICE;
pub use top::TOP;

/// All that is to be said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// From the service on: `idle.stop`. At the top level: its name.
    pub path: &'static str,
    /// What it takes, in words.
    pub takes: &'static str,
    /// A value, in TOML.
    pub example: &'static str,
    /// What counts without it, in TOML or in words; empty if that needs no saying.
    pub default: &'static str,
    /// The flag of `dormouse run` that says the same.
    pub flag: Option<&'static str>,
    /// What the manual says.
    pub manual: &'static str,
}

impl Key {
    /// Its name in its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The table that it stands in: `idle`; empty for the service itself.
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

/// The key of a service with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    SERVICE.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_explained_and_its_example_and_default_are_toml() {
        for key in TOP.iter().chain(SERVICE) {
            assert!(key.manual.ends_with('.'), "{}", key.path);
            let text = format!("key = {}", key.example);
            assert!(toml::de::DeTable::parse(&text).is_ok(), "{}: {}", key.path, key.example);
        }
    }
}
