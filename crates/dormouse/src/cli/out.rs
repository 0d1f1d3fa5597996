//! The output of commands. `print!` and `eprintln!` panic if writing fails, as on a full disk or a closed pipe. Texts for
//! people are escaped here, because they contain text of others.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use dormouse_log::EscapedLines;

/// Clears a terminal, and puts the cursor into its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Writes a document to standard output as it is, such as a configuration.
///
/// # Errors
/// Not everything could be written.
pub(super) fn write_document(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush())
}

/// Writes lines in place of those before, if standard output is a terminal.
///
/// # Errors
/// Not everything could be written.
pub(super) fn write_again(text: impl Display) -> io::Result<()> {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    write_document(format_args!("{clear}{}", EscapedLines(text)))
}

/// Writes lines to standard output and returns the exit status.
pub(super) fn print(text: impl Display) -> ExitCode {
    print_document(EscapedLines(text))
}

/// Writes a document to standard output as it is and returns the exit status.
pub(super) fn print_document(text: impl Display) -> ExitCode {
    match write_document(text) {
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

/// Writes lines to standard error.
pub(super) fn complain(text: impl Display) {
    // There is nowhere to report a failure.
    let _ = writeln!(io::stderr(), "{}", EscapedLines(text));
}

/// Writes an error to standard error and returns the exit status.
pub(super) fn fail(error: impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}
