//! The spawner itself: one process, which starts programs and answers questions until dormouse closes its socket.
//!
//! It trusts dormouse only until the list of programs has arrived. Later requests may come from an attacker who has taken
//! over dormouse: what they start must be in the list, and nothing in a request is passed to a program but the name of the
//! run and the notification socket.

mod children;
mod policy;
mod serve;

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Runs a spawner until dormouse closes its end of the socket, which is standard input.
pub fn main() -> ExitCode {
    match serve::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other place to report an error.
            let _ = writeln!(io::stderr(), "This is an internal command of dormouse; it failed: {error}");
            ExitCode::FAILURE
        }
    }
}
