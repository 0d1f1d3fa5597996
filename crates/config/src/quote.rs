//! Text of a configuration in messages.

/// The largest number of characters of a text in a message.
const LONGEST: usize = 80;

/// Returns the text in quotes, with control characters escaped, shortened to 80 characters.
pub(super) fn quoted(text: &str) -> String {
    const MAX_LENGTH: usize = 80;
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Returns a part of a key as TOML: quoted if necessary, and shortened.
pub(super) fn shown_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=LONGEST).contains(&key.len()) && key.bytes().all(plain) { key.to_owned() } else { quoted(key) }
}
