//! Converts `HAProxy` configurations in mode tcp to the configuration file of `dormouse run`.
//!
//! Every line is either converted or reported. A finding names the lines that are omitted and the lines that dormouse
//! handles differently. Where the loss of a line would admit clients that `HAProxy` keeps out (TLS, reject rules), the
//! listener, server or service that depends on that line is omitted or commented out.

mod bind;
mod builder;
mod check;
mod global;
mod lexer;
mod log;
mod names;
mod parameters;
mod parser;
mod report;
mod section;
mod server;
mod server_address;
mod server_options;
mod services;
mod settings;
#[cfg(test)]
mod tests;
mod unsupported;
mod values;
mod write;

use parser::Parser;
pub use report::{Finding, FindingKind, ParseError};

/// The result of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The configuration file for `dormouse run`, with all findings as comments at its top.
    pub toml: String,
    /// The findings, in the order of the lines.
    pub findings: Vec<Finding>,
}

impl Converted {
    /// Returns whether no line was omitted.
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind != FindingKind::Omitted)
    }
}

/// Converts the text of a file. `file` is the file's name, `environment` returns the value of an environment variable.
///
/// # Errors
/// Returns an error if the text is not an `HAProxy` configuration.
pub fn convert(
    file: &str,
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Converted, ParseError> {
    let mut parser = Parser::default();
    for (number, line) in text.lines().enumerate() {
        parser.line(file, number + 1, line, &environment)?;
    }
    let (global, sections, mut report) = parser.finish()?;
    let services = services::build(&global, &sections, &mut report);
    let findings = report.sorted();
    Ok(Converted { toml: write::write(file, &services, &findings), findings })
}
