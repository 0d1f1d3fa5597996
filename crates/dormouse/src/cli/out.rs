//! The output of commands. `print!` and `eprintln!` panic if writing fails, as on a full disk or a closed pipe.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// Writes a text to standard output.
///
/// # Errors
/// Not everything could be written.
pub(super) fn write(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush())
}

/// Writes a text to standard output and returns the exit status.
pub(super) fn print(text: impl Display) -> ExitCode {
    match write(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// Reports an error of standard output and returns the exit status.
pub(super) fn unwritten(error: &io::Error) -> ExitCode {
    match error.kind() {
        // The reader closed the pipe.
        ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => fail(format_args!("Failed to write to standard output: {error}")),
    }
}

/// Writes a line to standard error.
pub(super) fn complain(text: impl Display) {
    // There is nowhere to report a failure.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error to standard error and returns the exit status.
pub(super) fn fail(error: impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}
