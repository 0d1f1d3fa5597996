//! Every input of an admin client gets an answer, in whatever pieces it arrives, and at most one line is kept.
#![no_main]

use dormouse_core::control::{Line, LineBuffer, MAX_LINE, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut lines = LineBuffer::default();
    let mut found = Vec::new();
    for piece in &pieces {
        let mut piece = piece.as_slice();
        while !piece.is_empty() {
            assert!((1..=MAX_LINE).contains(&lines.capacity()));
            let (line, rest) = lines.push(piece);
            assert!(rest.len() < piece.len());
            found.extend(line);
            piece = rest;
        }
    }
    found.extend(lines.finish());
    for line in found {
        let Line::Complete(line) = line else { continue };
        assert!(line.len() < MAX_LINE && !line.contains(&b'\n'));
        let commands = parse(&line);
        assert!(!commands.is_empty() && commands.len() <= line.len() + 1);
        for error in commands.into_iter().filter_map(Result::err) {
            assert!(!error.to_string().is_empty());
        }
    }
});
