//! Whatever a client of the control socket says, in whatever pieces, is answered, and no more than a line is kept.
#![no_main]

use dormouse_core::control::{LONGEST, Line, Lines, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    for piece in &pieces {
        let mut piece = piece.as_slice();
        while !piece.is_empty() {
            assert!((1..=LONGEST).contains(&lines.room()));
            let (line, rest) = lines.take(piece);
            assert!(rest.len() < piece.len());
            found.extend(line);
            piece = rest;
        }
    }
    found.extend(lines.rest());
    for line in found {
        let Line::Whole(line) = line else { continue };
        assert!(line.len() < LONGEST && !line.contains(&b'\n'));
        let commands = parse(&line);
        assert!(!commands.is_empty() && commands.len() <= line.len() + 1);
        for error in commands.into_iter().filter_map(Result::err) {
            assert!(!error.to_string().is_empty());
        }
    }
});
