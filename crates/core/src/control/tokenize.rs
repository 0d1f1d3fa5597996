//! Splits a line into commands and their words.

/// Splits a line at `;`, and each command at white space. A backslash removes the special meaning of the next
/// character.
pub(super) fn tokenize(line: &[u8]) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    let mut bytes = line.iter().copied();
    let end_word = |word: &mut Option<Vec<u8>>, words: &mut Vec<String>| {
        if let Some(word) = word.take() {
            words.push(String::from_utf8_lossy(&word).into_owned());
        }
    };
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => word.get_or_insert_default().push(bytes.next().unwrap_or(b'\\')),
            b';' => {
                end_word(&mut word, &mut words);
                commands.push(std::mem::take(&mut words));
            }
            b' ' | b'\t' | b'\r' => end_word(&mut word, &mut words),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    end_word(&mut word, &mut words);
    // An empty line is one command; an empty text after the last separator is none.
    if !words.is_empty() || commands.is_empty() {
        commands.push(words);
    }
    commands
}
