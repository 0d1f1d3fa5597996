//! Reads a configuration line by line into sections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::global::Global;
use crate::lexer::{self, Line};
use crate::report::{Disposition, OneLine, ParseError, Report, Statement};
use crate::section::{Section, SectionKind};
use crate::settings::Settings;
use crate::unsupported;

/// The section that the current line belongs to.
#[derive(Debug, Default)]
enum Scope {
    #[default]
    None,
    Global,
    /// A section with listeners or servers, and the findings of its lines.
    Section(Box<Section>, Report),
    /// A section of a kind that is not converted.
    Unsupported {
        head: Statement,
        last_line: usize,
        disposition: Disposition,
    },
}

/// The state of the line-by-line reader.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    has_section: bool,
    /// The number of open conditional blocks.
    depth: usize,
    scope: Scope,
    global: Global,
    /// The settings of the last defaults section.
    defaults: Settings,
    /// The first line and the last line number of each defaults section in another mode than tcp.
    other_modes: Vec<(Statement, usize)>,
    /// The settings of all defaults sections, by name.
    named_defaults: BTreeMap<String, Settings>,
    sections: Vec<Section>,
    report: Report,
}

impl Parser {
    /// Reads one line. `number` counts from 1.
    pub(crate) fn line(
        &mut self,
        file: &str,
        number: usize,
        text: &str,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<(), ParseError> {
        let section = self.section_name();
        let variable = |name: &str| match name {
            ".FILE" => Some(file.to_owned()),
            ".LINE" => Some(number.to_string()),
            ".SECTION" => Some(section.clone()),
            _ => self.global.environment.get(name).cloned().unwrap_or_else(|| environment(name)),
        };
        let mut statement = Statement { line: number, text: text.trim().to_owned(), words: Vec::new() };
        match lexer::split(text, variable) {
            Ok(line) => {
                self.report_variables(&statement, &line);
                statement.words = line.words;
            }
            Err(error) if self.has_section => {
                self.report.omit(&statement, error.reason());
                return Ok(());
            }
            Err(error) => return Err(ParseError { line: number, reason: error.reason().to_owned() }),
        }
        if statement.words.is_empty() || self.skip_conditional(&statement) {
            return Ok(());
        }
        self.statement(statement)
    }

    /// Ends the last section and returns what was read.
    pub(crate) fn finish(mut self) -> Result<(Global, Vec<Section>, Report), ParseError> {
        self.end_section();
        if !self.has_section {
            let reason = "no section found (global, defaults, listen, …)".to_owned();
            return Err(ParseError { line: 0, reason });
        }
        if self.sections.is_empty() {
            // Otherwise the sections that inherit the mode are reported.
            for (head, last_line) in &self.other_modes {
                let reason = "dormouse supports only mode tcp, and no section uses these defaults";
                self.report.omit_section(head, *last_line, reason);
            }
        }
        Ok((self.global, self.sections, self.report))
    }

    fn report_variables(&mut self, statement: &Statement, line: &Line) {
        let set_by_file = line
            .expanded
            .iter()
            .all(|name| name.starts_with('.') || self.global.environment.contains_key(name));
        if !line.unset.is_empty() {
            let reason = format!(
                "not set in the environment, so treated as empty: {}; set it and convert again, or write the value",
                line.unset.join(", ")
            );
            self.report.omit(statement, reason);
        } else if !set_by_file {
            let reason = format!(
                "replaced by its current value: {}; dormouse expands no variables",
                line.expanded.join(", ")
            );
            self.report.note(statement, reason);
        }
    }

    /// Returns whether the line opens, closes or is inside a conditional block. Only the machine that runs `HAProxy` can
    /// evaluate the conditions, so all blocks are skipped.
    fn skip_conditional(&mut self, statement: &Statement) -> bool {
        match statement.word(0) {
            ".if" => {
                if self.depth == 0 {
                    let reason = "conditional blocks are not converted, up to .endif; keep only the lines that apply \
                                  and convert again";
                    self.report.omit(statement, reason);
                }
                self.has_section = true;
                self.depth += 1;
            }
            ".endif" => self.depth = self.depth.saturating_sub(1),
            ".elif" | ".else" | ".diag" | ".notice" | ".warning" | ".alert" => {}
            _ => return self.depth > 0,
        }
        true
    }

    fn statement(&mut self, statement: Statement) -> Result<(), ParseError> {
        let kind = match statement.word(0) {
            "global" => {
                self.begin(Scope::Global);
                return Ok(());
            }
            "defaults" => SectionKind::Defaults,
            "frontend" => SectionKind::Frontend,
            "backend" => SectionKind::Backend,
            "listen" => SectionKind::Listen,
            other => {
                if let Some(disposition) = unsupported::section(other) {
                    let last_line = statement.line;
                    self.begin(Scope::Unsupported { head: statement, last_line, disposition });
                    return Ok(());
                }
                return self.statement_in_section(&statement);
            }
        };
        let settings = self.initial_settings(kind, &statement);
        self.begin(Scope::Section(Box::new(Section::new(kind, statement, settings)), Report::default()));
        Ok(())
    }

    fn statement_in_section(&mut self, statement: &Statement) -> Result<(), ParseError> {
        match &mut self.scope {
            Scope::None => {
                let reason = format!(
                    "{} appears before any section; a configuration starts with a section such as global, defaults or \
                     listen",
                    OneLine(statement.word(0))
                );
                return Err(ParseError { line: statement.line, reason });
            }
            Scope::Global => self.global.read(statement, &mut self.report),
            Scope::Section(section, report) => {
                section.last_line = statement.line;
                section.read(statement, &self.global.unix, report);
            }
            Scope::Unsupported { head, last_line, .. } => {
                *last_line = statement.line;
                if head.word(0) == "resolvers" && statement.word(0) == "nameserver" {
                    let servers = self.global.resolvers.entry(head.word(1).to_owned()).or_default();
                    servers.extend(statement.word(2).parse::<SocketAddr>());
                }
            }
        }
        Ok(())
    }

    /// Returns the settings that a new section inherits.
    fn initial_settings(&mut self, kind: SectionKind, statement: &Statement) -> Settings {
        // The section that ends here may be the defaults of the new one.
        self.end_section();
        let from = statement.from(1).iter().skip_while(|word| *word != "from").nth(1);
        let Some(name) = from else {
            return if kind == SectionKind::Defaults { Settings::default() } else { self.defaults.clone() };
        };
        let settings = self.named_defaults.get(name).cloned();
        if settings.is_none() {
            self.report.omit(statement, format!("there is no defaults section named {name}"));
        }
        settings.unwrap_or_default()
    }

    fn begin(&mut self, scope: Scope) {
        self.end_section();
        self.has_section = true;
        self.scope = scope;
    }

    fn end_section(&mut self) {
        match std::mem::take(&mut self.scope) {
            Scope::None | Scope::Global => {}
            Scope::Unsupported { head, last_line, disposition } => match disposition {
                Disposition::Ignore => {}
                Disposition::Note(reason) | Disposition::Reject(reason) => {
                    self.report.note_section(&head, last_line, reason);
                }
                Disposition::Omit(reason) => self.report.omit_section(&head, last_line, reason),
            },
            Scope::Section(section, report) if section.kind == SectionKind::Defaults => {
                self.report.append(report);
                if !section.is_tcp() {
                    self.other_modes.push((section.statement.clone(), section.last_line));
                }
                self.defaults = section.settings.clone();
                self.named_defaults.insert(section.name, section.settings);
            }
            Scope::Section(section, report) => {
                // A section in another mode is reported as a whole, not line by line.
                if section.is_tcp() && !section.settings.disabled {
                    self.report.append(report);
                }
                self.sections.push(*section);
            }
        }
    }

    fn section_name(&self) -> String {
        match &self.scope {
            Scope::None => String::new(),
            Scope::Global => "global".to_owned(),
            Scope::Section(section, _) => section.name.clone(),
            Scope::Unsupported { head, .. } => head.word(1).to_owned(),
        }
    }
}
