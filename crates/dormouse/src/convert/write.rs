//! The file as text.

use std::fmt::Write as _;

use super::build::{File, Service};
use super::report::{Finding, Kind, Plain};
use super::values::{Table, quoted};

/// Writes the file: first what is to be told, as comments, then what was taken over.
pub(super) fn write(file: &str, converted: &File, findings: &[Finding]) -> String {
    let mut text = format!("# {}, converted for dormouse run; see dormouse.toml(5).\n", Plain(file));
    text.push_str(
        "# While no server answers, clients are held (hold.timeout, 30 s) where HAProxy turns them away.\n",
    );
    told(&mut text, "Not taken over", Kind::Left, file, findings);
    told(&mut text, "To know", Kind::Note, file, findings);
    if !converted.top.is_empty() {
        text.push('\n');
        table(&mut text, &converted.top);
    }
    for service in &converted.services {
        text.push('\n');
        let written = written(service);
        for line in written.lines() {
            let sign = if service.guarded { "#" } else { "" };
            let space = if service.guarded && !line.is_empty() { " " } else { "" };
            // A String takes whatever is written to it.
            let _ = writeln!(text, "{sign}{space}{line}");
        }
    }
    text
}

fn told(text: &mut String, head: &str, kind: Kind, file: &str, findings: &[Finding]) {
    let mut head = Some(head);
    for finding in findings.iter().filter(|finding| finding.kind == kind) {
        if let Some(head) = head.take() {
            // A String takes whatever is written to it.
            let _ = writeln!(text, "#\n# {head}:");
        }
        let _ = writeln!(text, "#   {}", finding.shown(file));
    }
}

fn written(service: &Service) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let name = if service.name.chars().all(plain) { service.name.clone() } else { quoted(&service.name) };
    let mut text = format!("[services.{name}]\n");
    table(&mut text, &service.keys);
    for server in &service.servers {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "\n[[services.{name}.servers]]");
        table(&mut text, server);
    }
    text
}

/// A line for each key.
fn table(text: &mut String, table: &Table) {
    for (key, value) in &table.0 {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{key} = {value}");
    }
}
