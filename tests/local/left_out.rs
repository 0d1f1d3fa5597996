//! Prints the tests that a run without the feature `system` skips.
//!
//! The target has no test harness, because the harness hides the output of tests that pass.

#![forbid(unsafe_code)]

/// The packages with a feature `system`.
const MANIFESTS: [(&str, &str); 4] = [
    ("dormouse-tests", include_str!("../Cargo.toml")),
    ("dormouse-activate", include_str!("../../crates/activate/Cargo.toml")),
    ("dormouse-core", include_str!("../../crates/core/Cargo.toml")),
    ("dormouse-dns", include_str!("../../crates/dns/Cargo.toml")),
];
const SCRIPT: &str = include_str!("../../scripts/test");

fn main() {
    if cfg!(feature = "system") {
        println!("system suite: included");
        return;
    }
    let mut left_out = Vec::new();
    for (package, manifest) in MANIFESTS {
        let before = left_out.len();
        for target in manifest.split("[[test]]") {
            if target.contains("required-features = [\"system\"]") {
                left_out.extend(target.split('"').nth(1));
            }
        }
        assert!(left_out.len() > before, "no target of {package} needs the feature `system`");
        // The script is the only place where all of these targets run.
        assert!(
            SCRIPT.contains(&format!("{package}/system")),
            "scripts/test does not enable {package}/system"
        );
    }
    println!("\nsystem suite LEFT OUT: run scripts/test (root, namespaces, real managers and engines)");
    println!("  {}\n", left_out.join(", "));
}
