//! A file as a tree of values with their places; flags form the same tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::quote::{quoted, shown_key};
use super::report::{KeyPath, Origin, Place, Report};
use super::syntax::{Outline, Unclosed};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The place.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string, or any value on the command line.
    Text(String),
    /// A number; `None` if it does not fit.
    Integer(Option<i64>),
    /// `true` or `false`.
    Switch(bool),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(String, Node)>),
    /// A value of a type that no key accepts.
    Other(&'static str),
}

impl Value {
    /// Returns the type of the value, with an article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// The result of parsing a file.
#[derive(Default)]
pub(super) struct Parsed {
    /// What could be read, if anything.
    pub(super) node: Option<Node>,
    /// The lines that could not be read; their errors are reported.
    pub(super) broken: BTreeSet<usize>,
}

/// The largest number of lines of a file whose errors of the syntax are reported: a file of another kind has one in each
/// line.
const MOST_BROKEN_LINES: usize = 10;

/// Parses a file. Errors of the syntax are reported; the rest of the file is returned, if there is any.
pub(super) fn parse(path: &Path, text: &str, report: &mut Report) -> Parsed {
    let lines = Lines::new(path, text);
    if let Some(offset) = too_deep(text) {
        let place = lines.at(offset, KeyPath::default());
        report.error(&place, "too many dots in a key; write tables ([services.NAME])");
        return Parsed::default();
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut parsed = Parsed::default();
    // The table of the lines after a broken header is not known.
    if report_errors(errors, &lines, &mut parsed.broken, report) {
        let value = Value::Table(entries(table.into_inner(), &KeyPath::default(), &lines));
        parsed.node = Some(Node { place: Place::file(path), value });
    }
    parsed
}

/// Reports the first error of each line, because the others of the line follow from it. Returns whether all headers of
/// tables could be read.
fn report_errors(
    errors: Vec<Error>,
    lines: &Lines<'_>,
    broken: &mut BTreeSet<usize>,
    report: &mut Report,
) -> bool {
    if errors.is_empty() {
        return true;
    }
    let mut first: BTreeMap<usize, (usize, Error)> = BTreeMap::new();
    for error in errors {
        let offset = error.span().unwrap_or_default().start;
        first.entry(lines.index(offset) + 1).or_insert((offset, error));
    }
    let twice = first.values().take(MOST_BROKEN_LINES).filter(|(_, error)| is_duplicate(error));
    let Outline { mut names, unclosed } =
        Outline::of(lines.text, &twice.map(|(offset, _)| *offset).collect());
    if let Some(Unclosed { offset, name, closing }) = unclosed {
        // The parser takes all that follows for a part of this value.
        first.retain(|_, (other, _)| *other < offset);
        let line = lines.index(offset) + 1;
        first.remove(&line);
        broken.extend(line..=lines.starts.len() + 1);
        report.error(&lines.at(offset, name), format!("not TOML: the value has no end; add {closing}"));
    }
    broken.extend(first.keys());
    for (offset, error) in first.values().take(MOST_BROKEN_LINES) {
        if is_duplicate(error) {
            let name = names.remove(offset).unwrap_or_default();
            report.error(&lines.at(*offset, name), "given twice; remove one");
        } else {
            let reason = reason(error.message(), lines.text_at(*offset));
            report.error(&lines.at(*offset, KeyPath::default()), format!("not TOML: {reason}"));
        }
    }
    if let Some((offset, _)) = first.values().nth(MOST_BROKEN_LINES) {
        let more = first.len() - MOST_BROKEN_LINES;
        let place = lines.at(*offset, KeyPath::default());
        report.error(&place, format!("{more} lines from here on are not TOML; correct the others first"));
    }
    first.values().all(|(offset, _)| !lines.text_at(*offset).trim_start().starts_with('['))
}

fn is_duplicate(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// Returns the message of the parser, or a better one for missing quotes: the parser takes an unquoted address for a
/// number.
fn reason(message: &str, line: &str) -> String {
    const UNQUOTED: [&str; 6] = [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
        "invalid boolean",
        "invalid date",
        "invalid time",
    ];
    if !UNQUOTED.iter().any(|start| message.starts_with(start)) {
        return message.to_owned();
    }
    let value = line.split_once('=').map_or("", |(_, value)| value);
    let value = value.split('#').next().unwrap_or_default().trim();
    match value {
        "" if message.starts_with("string") => "a value is missing".to_owned(),
        "True" | "TRUE" => "write true".to_owned(),
        "False" | "FALSE" => "write false".to_owned(),
        _ if value.is_empty() || value.contains(['"', '\'', '[', '{', ',', '=']) => {
            "strings must be in quotes".to_owned()
        }
        _ => format!("strings must be in quotes; write {}", quoted(value)),
    }
}

/// The deepest nesting by dots. The parser limits every other nesting.
const DEEPEST: usize = 32;

/// Returns the offset of a line with too many dots outside of strings.
fn too_deep(text: &str) -> Option<usize> {
    let mut dots = 0usize;
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            toml_parser::lexer::TokenKind::Dot => dots += 1,
            toml_parser::lexer::TokenKind::Newline => dots = 0,
            _ => {}
        }
        if dots > DEEPEST {
            return Some(token.span().start());
        }
    }
    None
}

fn entries(table: DeTable<'_>, path: &KeyPath, lines: &Lines<'_>) -> Vec<(String, Node)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| {
            let offset = key.span().start;
            let path = path.clone().child(shown_key(key.get_ref()));
            (key.into_inner().into_owned(), node(value, offset, &path, lines))
        })
        .collect()
}

fn node(value: Spanned<DeValue<'_>>, offset: usize, path: &KeyPath, lines: &Lines<'_>) -> Node {
    let place = lines.at(offset, path.clone());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(on) => Value::Switch(on),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(list) => Value::List(
            list.into_iter()
                .map(|element| {
                    let offset = element.span().start;
                    node(element, offset, path, lines)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table, path, lines)),
    };
    Node { place, value }
}

/// The lines of a file.
struct Lines<'a> {
    path: Rc<Path>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(path: &Path, text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(offset, _)| offset + 1).collect();
        Self { path: path.into(), text, starts }
    }

    /// Returns the index of the line at this offset.
    fn index(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Returns the line at this offset.
    fn text_at(&self, offset: usize) -> &'a str {
        let index = self.index(offset);
        let start =
            index.checked_sub(1).and_then(|before| self.starts.get(before)).copied().unwrap_or_default();
        self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }

    fn at(&self, offset: usize, name: KeyPath) -> Place {
        let line = self.index(offset) + 1;
        Place { origin: Origin::File(Rc::clone(&self.path), line), name }
    }
}
