//! Runs the `dormouse convert` cases through `HAProxy`'s configuration check.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

use std::fs;
use std::path::Path;
use std::process::Command;

use dormouse_tests::temp::TempDir;

/// The case that `HAProxy` refuses: a line that looks like a continuation of another.
const REFUSED: &str = "continued.cfg";

fn accepts(file: &Path) -> (bool, String) {
    let haproxy = Command::new("haproxy").arg("-c").arg("-f").arg(file).output().unwrap();
    (haproxy.status.success(), String::from_utf8_lossy(&haproxy.stderr).into_owned())
}

#[test]
fn haproxy_accepts_the_cases() {
    let mut cases = 0;
    for entry in fs::read_dir("local/cli/convert").unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "cfg") {
            let (accepted, log) = accepts(&file);
            assert_eq!(accepted, !file.ends_with(REFUSED), "{}: {log}", file.display());
            cases += 1;
        }
    }
    assert!(cases > 5, "only {cases} cases were found");
}

#[test]
fn haproxy_refuses_what_convert_refuses() {
    let dir = TempDir::new().unwrap();
    let file = dir.join("in.cfg");
    for text in ["[services.web]\n", "# nothing\n\n", "hello 'world\n"] {
        fs::write(&file, text).unwrap();
        assert!(!accepts(&file).0, "{text}");
    }
}
