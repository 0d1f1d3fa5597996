//! Text of a configuration in messages.

/// Returns the text in quotes, with control characters escaped, shortened to 80 characters.
pub(super) fn quoted(text: &str) -> String {
    const MAX_LENGTH: usize = 80;
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
