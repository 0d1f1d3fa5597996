//! Text of a configuration in messages.

/// The largest number of characters of a text in a message.
const LONGEST: usize = 80;

/// Returns the text in quotes, shortened to 80 characters. Control characters are left to the message, which escapes them.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars().take(LONGEST) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push_str(if text.chars().nth(LONGEST).is_some() { "\"…" } else { "\"" });
    quoted
}

/// Returns a part of a key as TOML: quoted if necessary, and shortened.
pub(super) fn shown_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=LONGEST).contains(&key.len()) && key.bytes().all(plain) { key.to_owned() } else { quoted(key) }
}
