//! The guard of a program that `exec` starts, as a separate program for tests of the activator.

use std::process::ExitCode;

fn main() -> ExitCode {
    dormouse_activate::exec::guard::main(std::env::args_os().skip(2))
}
