//! dormouse(8): the list of the commands, each with its page.

use std::fmt::Write as _;

use super::{PAGES, file_of, roff};
use crate::cli::COMMANDS;

const HEAD: &str = r#".TH DORMOUSE 8 "" "dormouse" "dormouse"
.SH NAME
dormouse \- put network services to sleep and wake them on the first connection
.SH SYNOPSIS
.B dormouse
\fICOMMAND\fR [\fIOPTIONS\fR...]
.SH DESCRIPTION
dormouse listens in place of servers. On the first connection it starts the server, holds the client until the server
answers, and forwards bytes both ways. When no client uses the server, dormouse stops or freezes it.
.PP
\fBdormouse run\fR does this for the services of a configuration file, or for one that flags describe.
\fBdormouse proxy\fR forwards to one target, in place of \fBsystemd\-socket\-proxyd\fR(8). \fBdormouse COMMAND
\-\-help\fR shows the options of a command.
.SH COMMANDS
"#;

/// Returns the page.
pub(super) fn page() -> String {
    let mut text = String::from(HEAD);
    // Writing to a String cannot fail.
    for (command, summary) in COMMANDS {
        let page = match reference(file_of(command)) {
            page if page == reference(file_of("")) => String::new(),
            page => format!(" See {page}."),
        };
        let _ = writeln!(text, ".TP\n\\fB{command}\\fR\n{}.{page}", roff(summary));
    }
    text.push_str(".SH SEE ALSO\n");
    let others: Vec<_> =
        PAGES.iter().map(|(_, file)| *file).filter(|file| *file != file_of("")).map(reference).collect();
    let _ = writeln!(text, "{}", others.join(",\n"));
    text
}

/// Returns the name of a page with its section, in bold: `\fBdormouse\-run\fR(8)`.
fn reference(file: &str) -> String {
    let (page, section) = file.rsplit_once('.').unwrap_or((file, ""));
    format!("\\fB{}\\fR({section})", roff(page))
}
