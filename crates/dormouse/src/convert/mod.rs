//! `dormouse convert`: a configuration of `HAProxy` for TCP, as the file of `dormouse run`.
//!
//! Each line is taken over, or told: what is left out changes what the result does, and a note says what is done in
//! another way. A line whose loss would open what was closed (TLS, rules that keep clients out) takes what depends on it
//! along.

mod bind;
mod build;
mod global;
mod lexer;
mod probe;
mod proxy;
mod report;
mod server;
mod tables;
#[cfg(test)]
mod tests;
mod values;
mod words;
mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use global::Global;
use proxy::{Kind as SectionKind, Section, Settings};
pub use report::{Finding, Kind};
use report::{Report, Statement};
use words::Fate;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The file for `dormouse run`, with all findings in comments at its top.
    pub toml: String,
    /// What is to be told, in the order of the lines.
    pub findings: Vec<Finding>,
}

impl Converted {
    /// Whether nothing was left out.
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind != Kind::Left)
    }
}

/// A text that is no configuration of `HAProxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotHaproxy {
    /// Where that shows, counted from 1; 0: nowhere.
    line: usize,
    why: String,
}

impl NotHaproxy {
    /// `FILE:LINE: why`.
    pub fn shown(&self, file: &str) -> String {
        match self.line {
            0 => format!("{}: {}", report::Plain(file), self.why),
            line => format!("{}:{line}: {}", report::Plain(file), self.why),
        }
    }
}

/// Converts a file's text. `file` is its name, `environment` what its variables are.
///
/// # Errors
/// When the text is no configuration of `HAProxy`.
pub fn convert(
    file: &str,
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Converted, NotHaproxy> {
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        reader.line(file, number + 1, line, &environment)?;
    }
    reader.end_section();
    if !reader.any {
        return Err(NotHaproxy {
            line: 0,
            why: "there is no section (global, defaults, listen, …)".to_owned(),
        });
    }
    let Reader { global, sections, mut report, .. } = reader;
    let file_of_services = build::build(&global, &sections, &mut report);
    let findings = report.sorted();
    Ok(Converted { toml: write::write(file, &file_of_services, &findings), findings })
}

/// Where a line belongs.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    Global,
    Section(Box<Section>, Report),
    /// A section whose lines are told at its head, if at all.
    Other(Statement, usize, Option<&'static str>),
}

/// Reads line by line.
#[derive(Debug, Default)]
struct Reader {
    /// There was a section.
    any: bool,
    /// How many conditional blocks are open.
    depth: usize,
    place: Place,
    global: Global,
    /// The last defaults, and those with a name.
    defaults: Settings,
    named: BTreeMap<String, Settings>,
    sections: Vec<Section>,
    report: Report,
}

impl Reader {
    fn line(
        &mut self,
        file: &str,
        number: usize,
        text: &str,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<(), NotHaproxy> {
        let section = self.name_of_place();
        let variable = |name: &str| match name {
            ".FILE" => Some(file.to_owned()),
            ".LINE" => Some(number.to_string()),
            ".SECTION" => Some(section.clone()),
            _ => self.global.environment.get(name).cloned().unwrap_or_else(|| environment(name)),
        };
        let mut statement = Statement { line: number, text: text.trim().to_owned(), words: Vec::new() };
        match lexer::split(text, variable) {
            Ok(found) => {
                statement.words = found.words;
                let names = |names: &[String]| names.join(", ");
                let pseudo = found
                    .expanded
                    .iter()
                    .all(|name| name.starts_with('.') || self.global.environment.contains_key(name));
                if !found.unset.is_empty() {
                    let why = format!(
                        "{} is not set here, and so was taken for empty; set it and convert again, or write \
                                       its value",
                        names(&found.unset)
                    );
                    self.report.left(&statement, why);
                } else if !pseudo {
                    let why = format!(
                        "the value that {} has here is written; dormouse reads no variables",
                        names(&found.expanded)
                    );
                    self.report.note(&statement, why);
                }
            }
            Err(error) if self.any => {
                self.report.left(&statement, error.reason());
                return Ok(());
            }
            Err(error) => return Err(NotHaproxy { line: number, why: error.reason().to_owned() }),
        }
        if statement.words.is_empty() || self.conditional(&statement) {
            return Ok(());
        }
        self.statement(statement)
    }

    /// Conditional blocks are not looked into: whether they hold is known only where `HAProxy` runs.
    fn conditional(&mut self, statement: &Statement) -> bool {
        match statement.word(0) {
            ".if" => {
                if self.depth == 0 {
                    self.report
                        .left(statement, "conditional blocks are left out, up to .endif; write what holds");
                }
                self.any = true;
                self.depth += 1;
            }
            ".endif" => self.depth = self.depth.saturating_sub(1),
            ".elif" | ".else" | ".diag" | ".notice" | ".warning" | ".alert" => {}
            _ => return self.depth > 0,
        }
        true
    }

    fn statement(&mut self, statement: Statement) -> Result<(), NotHaproxy> {
        let kind = match statement.word(0) {
            "global" => {
                self.begin(Place::Global);
                return Ok(());
            }
            "defaults" => SectionKind::Defaults,
            "frontend" => SectionKind::Frontend,
            "backend" => SectionKind::Backend,
            "listen" => SectionKind::Listen,
            other => match (tables::section(other), &mut self.place) {
                (Some(fate), _) => {
                    let line = statement.line;
                    self.begin(Place::Other(statement, line, why(fate)));
                    return Ok(());
                }
                (None, Place::Nowhere) => {
                    let why = format!(
                        "{} stands before any section; a configuration begins with global, defaults, listen or \
                                       the like",
                        report::Plain(other)
                    );
                    return Err(NotHaproxy { line: statement.line, why });
                }
                (None, Place::Global) => {
                    self.global.read(&statement, &mut self.report);
                    return Ok(());
                }
                (None, Place::Section(section, report)) => {
                    section.last = statement.line;
                    section.read(&statement, &self.global.unix, report);
                    return Ok(());
                }
                (None, Place::Other(section, last, _)) => {
                    *last = statement.line;
                    if section.word(0) == "resolvers" && statement.word(0) == "nameserver" {
                        let servers = self.global.resolvers.entry(section.word(1).to_owned()).or_default();
                        servers.extend(statement.word(2).parse::<SocketAddr>());
                    }
                    return Ok(());
                }
            },
        };
        let settings = self.settings_for(kind, &statement);
        self.begin(Place::Section(Box::new(Section::new(kind, statement, settings)), Report::default()));
        Ok(())
    }

    /// What a new section begins with.
    fn settings_for(&mut self, kind: SectionKind, statement: &Statement) -> Settings {
        // The section before may be the defaults of this one.
        self.end_section();
        let from = statement.from(1).iter().skip_while(|word| *word != "from").nth(1);
        let Some(name) = from else {
            return if kind == SectionKind::Defaults { Settings::default() } else { self.defaults.clone() };
        };
        let settings = self.named.get(name).cloned();
        if settings.is_none() {
            self.report.left(statement, format!("there are no defaults {name}"));
        }
        settings.unwrap_or_default()
    }

    fn begin(&mut self, place: Place) {
        self.end_section();
        self.any = true;
        self.place = place;
    }

    fn end_section(&mut self) {
        match std::mem::take(&mut self.place) {
            Place::Nowhere | Place::Global => {}
            Place::Other(statement, last, why) => {
                let Some(why) = why else { return };
                let left =
                    tables::section(statement.word(0)).is_some_and(|fate| matches!(fate, Fate::Left(_)));
                if left {
                    self.report.left_section(&statement, last, why);
                } else {
                    self.report.note_section(&statement, last, why);
                }
            }
            Place::Section(section, report) if section.kind == SectionKind::Defaults => {
                self.report.append(report);
                self.defaults = section.settings.clone();
                self.named.insert(section.name, section.settings);
            }
            Place::Section(section, report) => {
                // Of a section for HTTP the whole is told, not each line.
                if section.is_tcp() && !section.settings.disabled {
                    self.report.append(report);
                }
                self.sections.push(*section);
            }
        }
    }

    fn name_of_place(&self) -> String {
        match &self.place {
            Place::Nowhere => String::new(),
            Place::Global => "global".to_owned(),
            Place::Section(section, _) => section.name.clone(),
            Place::Other(statement, ..) => statement.word(1).to_owned(),
        }
    }
}

fn why(fate: Fate) -> Option<&'static str> {
    match fate {
        Fate::Needless => None,
        Fate::Note(why) | Fate::Left(why) | Fate::Bars(why) => Some(why),
    }
}
