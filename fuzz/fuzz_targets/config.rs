//! Any text is answered as a configuration: with services, or with what is wrong, a line each.
#![no_main]

use std::path::PathBuf;

use dormouse_config::{Environment, ProgramUser, Source, read, shell};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, bool, &str)| {
    let (root, of_one_service, text) = input;
    let path = PathBuf::from("web.toml");
    let source = Source { path, text: text.to_owned(), of_one_service };
    let programs = if root { ProgramUser::Root } else { ProgramUser::Other };
    let outcome = read(&[source], Environment { system_units: root, programs });
    match outcome.result {
        Ok(config) => assert!(!config.services.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let line = problem.to_string();
                assert!(line.starts_with("web.toml") && !line.contains('\n'), "{line}");
            }
        }
    }
    let _ = shell::split(text);
});
