//! Prints the tests that a run without the feature `system` skips.
//!
//! The target has no test harness, because the harness hides the output of tests that pass.

#![forbid(unsafe_code)]

fn main() {
    if cfg!(feature = "system") {
        println!("system suite: included");
        return;
    }
    let (manifest, mut left_out) = (include_str!("../Cargo.toml"), Vec::new());
    for target in manifest.split("[[test]]") {
        if target.contains("required-features = [\"system\"]") {
            left_out.extend(target.split('"').nth(1));
        }
    }
    assert!(!left_out.is_empty(), "no target needs the feature `system`");
    println!("\nsystem suite LEFT OUT: run scripts/test (root, namespaces, real managers and engines)");
    println!("  {}\n", left_out.join(", "));
}
