//! What errors of the syntax are about: the full name of a key that is given twice, and a value that nothing closes.

use std::collections::{BTreeMap, BTreeSet};

use toml_parser::decoder::Encoding;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};
use toml_parser::{ParseError, Source};

use super::quote::shown_key;
use super::report::KeyPath;

/// The deepest nesting of lists and tables, as in the parser of values.
const DEEPEST: u32 = 80;

/// A second look at a file with errors.
pub(super) struct Outline {
    /// The full names of the wanted keys.
    pub(super) names: BTreeMap<usize, KeyPath>,
    /// The value that takes the rest of the file.
    pub(super) unclosed: Option<Unclosed>,
}

/// A list, a table or a string without its end.
#[derive(Debug, Clone)]
pub(super) struct Unclosed {
    /// The offset of its beginning.
    pub(super) offset: usize,
    /// The key whose value it is.
    pub(super) name: KeyPath,
    /// What is missing.
    pub(super) closing: &'static str,
}

impl Outline {
    /// Reads a file. `wanted` are the offsets of the keys whose names are needed.
    pub(super) fn of(text: &str, wanted: &BTreeSet<usize>) -> Self {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut reader = Reader::new(text, wanted);
        let mut unclosed = BTreeMap::new();
        let mut receive = |event: Event| reader.receive(&event);
        let mut receive = RecursionGuard::new(&mut receive, DEEPEST);
        parse_document(&tokens, &mut receive, &mut |error: ParseError| {
            let closing = match error.description() {
                "unclosed array" => "]",
                "unclosed inline table" => "}",
                _ => return,
            };
            unclosed.extend(error.context().map(|opening| (opening.start(), closing)));
        });
        // The others are in the first one.
        let bracket = unclosed.into_iter().next().map(|(offset, closing)| {
            let name = reader.opened.remove(&offset).unwrap_or_default();
            Unclosed { offset, name, closing }
        });
        Self { names: reader.names, unclosed: bracket.or(reader.string) }
    }
}

/// Follows the keys of a file.
struct Reader<'a> {
    text: &'a str,
    wanted: &'a BTreeSet<usize>,
    names: BTreeMap<usize, KeyPath>,
    /// The table of the last header.
    header: KeyPath,
    in_header: bool,
    /// The key that was read last.
    key: KeyPath,
    /// The next name begins a key.
    begins: bool,
    /// The keys of the lists and tables that are open.
    open: Vec<KeyPath>,
    /// The key of each list and table, by the offset of its beginning.
    opened: BTreeMap<usize, KeyPath>,
    string: Option<Unclosed>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, wanted: &'a BTreeSet<usize>) -> Self {
        Self {
            text,
            wanted,
            names: BTreeMap::new(),
            header: KeyPath::default(),
            in_header: false,
            key: KeyPath::default(),
            begins: true,
            open: Vec::new(),
            opened: BTreeMap::new(),
            string: None,
        }
    }

    fn receive(&mut self, event: &Event) {
        let span = event.span();
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                (self.in_header, self.begins) = (true, true);
                self.open.clear();
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => {
                (self.in_header, self.begins) = (false, true);
                self.header = self.key.clone();
            }
            EventKind::SimpleKey => {
                let name = shown_as_written(self.text.get(span.start()..span.end()).unwrap_or_default());
                self.key = self.parent().child(name);
                self.begins = false;
                if self.wanted.contains(&span.start()) {
                    self.names.insert(span.start(), self.key.clone());
                }
            }
            EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                self.opened.insert(span.start(), self.key.clone());
                self.open.push(self.key.clone());
                self.begins = true;
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => {
                self.key = self.open.pop().unwrap_or_default();
                self.begins = true;
            }
            EventKind::ValueSep | EventKind::Newline => self.begins = true,
            EventKind::Scalar => self.string = self.unclosed_string(event),
            EventKind::KeySep
            | EventKind::KeyValSep
            | EventKind::Whitespace
            | EventKind::Comment
            | EventKind::Error => {}
        }
    }

    /// Returns the key to which the next name belongs.
    fn parent(&self) -> KeyPath {
        match (self.begins, self.in_header) {
            (false, _) => self.key.clone(),
            (true, true) => KeyPath::default(),
            (true, false) => self.open.last().unwrap_or(&self.header).clone(),
        }
    }

    fn unclosed_string(&self, event: &Event) -> Option<Unclosed> {
        let closing = match event.encoding()? {
            Encoding::MlBasicString => "\"\"\"",
            Encoding::MlLiteralString => "'''",
            Encoding::BasicString | Encoding::LiteralString => return None,
        };
        let span = event.span();
        let written = self.text.get(span.start()..span.end())?;
        let is_closed = written.len() >= 2 * closing.len() && written.ends_with(closing);
        let unclosed = !is_closed && span.end() == self.text.len();
        unclosed.then(|| Unclosed { offset: span.start(), name: self.key.clone(), closing })
    }
}

/// Returns a part of a key as the file has it, shortened.
fn shown_as_written(name: &str) -> String {
    if name.starts_with(['"', '\'']) && name.len() < 80 { name.to_owned() } else { shown_key(name) }
}
