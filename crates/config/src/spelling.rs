//! How advice names a setting: by its key, or by its flag where flags configure the service.

use super::keys;
pub use super::model::Spelling;

impl Spelling {
    /// Returns the name of a key of a service (`idle.stop`) here: the key, or its flag.
    pub fn call(self, path: &str) -> String {
        match self {
            Self::Flags => keys::find(path).and_then(|key| key.flag).unwrap_or(path).to_owned(),
            Self::Keys => path.to_owned(),
        }
    }

    /// Returns the text that sets a key of a service to this value, which is in TOML.
    pub fn write(self, path: &str, value: &str) -> String {
        match self {
            Self::Flags => {
                let plain =
                    value.trim_matches(['[', ']', '{', '}', ' ']).trim_matches('"').replace("\", \"", ",");
                let quote = if plain.contains([' ', '*']) { "'" } else { "" };
                format!("{}={quote}{plain}{quote}", self.call(path))
            }
            Self::Keys => format!("{path} = {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_as_the_user_wrote_it() {
        let allow = |spelling: Spelling| spelling.write("wake.foreign_listener", "\"allow\"");
        assert_eq!(allow(Spelling::Keys), "wake.foreign_listener = \"allow\"");
        assert_eq!(allow(Spelling::Flags), "--foreign-listener=allow");
        assert_eq!(Spelling::Flags.call("wake.environment"), "wake.environment", "there is no flag");
    }
}
