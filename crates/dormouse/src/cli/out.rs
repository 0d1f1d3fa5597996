//! What a command says. `print!` and `eprintln!` panic where nothing can be written: a full disk, a reader that left.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// Writes this on standard output, whole.
///
/// # Errors
/// When not all of it could be written.
pub(super) fn write(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush())
}

/// The same, as all that a command does.
pub(super) fn print(text: impl Display) -> ExitCode {
    match write(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// That this is why it could not be written.
pub(super) fn unwritten(error: &io::Error) -> ExitCode {
    match error.kind() {
        // Whoever left knows.
        ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => fail(format_args!("Failed to write to standard output: {error}")),
    }
}

/// Says this on standard error.
pub(super) fn complain(text: impl Display) {
    // Nobody can be told that nobody can be told.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The same, as the end of a command.
pub(super) fn fail(error: impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}
