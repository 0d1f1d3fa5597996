//! Any text is answered as a configuration of HAProxy: with a file of TOML and findings of a line each, or with why not.
#![no_main]

use std::path::Path;

use dormouse_config::{Surroundings, read, single};
use dormouse::convert::convert;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Behind a section, so that chance need not find one first.
    for text in [text.to_owned(), format!("listen x\n{text}"), format!("listen x\nbind :80\nserver a {text}")] {
        match convert("h.cfg", &text, |name| (name.len() < 4).then(|| name.to_owned())) {
            Ok(converted) => {
                for finding in &converted.findings {
                    let line = finding.shown("h.cfg").to_string();
                    assert!(line.starts_with("h.cfg") && !line.contains('\n'), "{line}");
                }
                let outcome = read(&[single(Path::new("h.toml"), &converted.toml)], Surroundings { root: false });
                for problem in outcome.result.err().unwrap_or_default() {
                    assert!(!problem.to_string().contains("not TOML"), "{problem}\n{}", converted.toml);
                }
            }
            Err(error) => assert!(error.shown("h.cfg").starts_with("h.cfg")),
        }
    }
});
