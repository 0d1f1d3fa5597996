//! The guard of a program that `exec` starts, as a program of its own: for tests of the waker without the rest.

use std::process::ExitCode;

fn main() -> ExitCode {
    dormouse_wake::exec::guard::main(std::env::args_os().skip(2))
}
