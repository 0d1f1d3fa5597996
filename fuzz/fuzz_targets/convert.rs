//! Converts any text as an HAProxy configuration. The result is a TOML file and one-line findings, or an error.
#![no_main]

use std::path::Path;

use dormouse_config::{Environment, ProgramUser, read, single};
use dormouse_convert::convert;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The variants with a section reach the parsers of lines without guessing a section first.
    for text in [text.to_owned(), format!("listen x\n{text}"), format!("listen x\nbind :80\nserver a {text}")] {
        match convert("h.cfg", &text, |name| (name.len() < 4).then(|| name.to_owned())) {
            Ok(converted) => {
                for finding in &converted.findings {
                    let line = finding.display("h.cfg").to_string();
                    assert!(line.starts_with("h.cfg") && !line.contains('\n'), "{line}");
                }
                let outcome = read(&[single(Path::new("h.toml"), &converted.toml)], Environment { system_units: false, programs: ProgramUser::Other });
                for problem in outcome.result.err().unwrap_or_default() {
                    assert!(!problem.to_string().contains("not TOML"), "{problem}\n{}", converted.toml);
                }
            }
            Err(error) => assert!(error.display("h.cfg").starts_with("h.cfg")),
        }
    }
});
