//! Writes the configuration file as text.

use std::fmt::Write as _;

use crate::builder::Service;
use crate::report::{Finding, FindingKind, OneLine};
use crate::services::Services;
use crate::values::{TomlTable, quoted};

/// Returns the file: the findings as comments, then the converted services.
pub(crate) fn write(file: &str, converted: &Services, findings: &[Finding]) -> String {
    let mut text = format!("# Converted from {} for dormouse run; see dormouse.toml(5).\n", OneLine(file));
    text.push_str(
        "# While no server answers, dormouse holds clients (hold.timeout, 30 s); HAProxy rejects them.\n",
    );
    write_findings(&mut text, "Not converted", FindingKind::Omitted, file, findings);
    write_findings(&mut text, "Notes", FindingKind::Note, file, findings);
    if !converted.top.is_empty() {
        text.push('\n');
        write_table(&mut text, &converted.top);
    }
    for service in &converted.services {
        text.push('\n');
        for line in service_text(service).lines() {
            let sign = if service.commented_out { "#" } else { "" };
            let space = if service.commented_out && !line.is_empty() { " " } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{sign}{space}{line}");
        }
    }
    text
}

fn write_findings(text: &mut String, title: &str, kind: FindingKind, file: &str, findings: &[Finding]) {
    let mut title = Some(title);
    for finding in findings.iter().filter(|finding| finding.kind == kind) {
        if let Some(title) = title.take() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "#\n# {title}:");
        }
        let _ = writeln!(text, "#   {}", finding.display(file));
    }
}

fn service_text(service: &Service) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = if service.name.chars().all(is_bare) { service.name.clone() } else { quoted(&service.name) };
    let mut text = format!("[services.{name}]\n");
    write_table(&mut text, &service.keys);
    for server in &service.servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n[[services.{name}.servers]]");
        write_table(&mut text, server);
    }
    text
}

/// Writes one line for each key.
fn write_table(text: &mut String, table: &TomlTable) {
    for (key, value) in &table.0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    }
}
