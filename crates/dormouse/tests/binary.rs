//! An integration test of this package has cargo build the program, which the tests of the whole program (tests/) run.

use std::process::Command;

#[test]
fn the_program_runs() -> std::io::Result<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_dormouse")).arg("--version").status()?;
    assert!(status.success(), "{status}");
    Ok(())
}
