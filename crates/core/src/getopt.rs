//! A command line parser with the behaviour of GNU `getopt_long()`, without a C library and without global state.
//!
//! Options may follow positional arguments, long options may be abbreviated, short options may be clustered, and the
//! error messages are glibc's. The iterator yields one option at a time from left to right, so that the caller can act
//! on an option (such as `--help`) before a later one is an error.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Whether an option takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// A flag. An argument is an error.
    No,
    /// An argument is required: `--opt=v`, `--opt v`, `-ov` or `-o v`.
    Required,
}

/// The rank of an option for abbreviations.
///
/// The options that dormouse adds must not make the abbreviations of the replaced program ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// An option of the replaced program.
    Original,
    /// An additional option. Its abbreviations only count if they match no option of the replaced program.
    Extension,
}

/// The definition of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptSpec {
    /// The ASCII letter after `-`.
    pub short: Option<char>,
    /// The name after `--`.
    pub long: &'static str,
    /// Whether the option takes an argument.
    pub arg: Arg,
    /// The rank of the option for abbreviations.
    pub tier: Tier,
}

/// An option on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// The index of the option in the table.
    pub index: usize,
    /// The argument. `Some` if and only if the option takes one.
    pub value: Option<OsString>,
}

/// Parses a command line from left to right. The iterator yields the options.
///
/// After an error the iterator continues with the next option, as `getopt_long()` does.
#[derive(Debug, Clone)]
pub struct Getopt<'a> {
    argv0: String,
    specs: &'a [OptSpec],
    args: VecDeque<OsString>,
    /// The rest of a cluster such as `-abc`.
    cluster: VecDeque<u8>,
    positionals: Vec<OsString>,
}

impl<'a> Getopt<'a> {
    /// Creates a parser for `args`, without the name of the program. `argv0` is that name, for error messages.
    pub fn new<A>(argv0: impl AsRef<OsStr>, specs: &'a [OptSpec], args: A) -> Self
    where
        A: IntoIterator<Item: Into<OsString>>,
    {
        Self {
            argv0: argv0.as_ref().to_string_lossy().into_owned(),
            specs,
            args: args.into_iter().map(Into::into).collect(),
            cluster: VecDeque::new(),
            positionals: Vec::new(),
        }
    }

    /// Returns the positional arguments in order. To be called after the last option; arguments that were not parsed
    /// yet are lost.
    pub fn positionals(self) -> Vec<OsString> {
        self.positionals
    }

    fn next_argument(&mut self) -> Option<Result<Opt, GetoptError>> {
        while let Some(arg) = self.args.pop_front() {
            match arg.as_bytes() {
                b"--" => {
                    self.positionals.extend(self.args.drain(..));
                    return None;
                }
                [b'-', b'-', long @ ..] => return Some(self.long_option(long)),
                [b'-', letters @ ..] if !letters.is_empty() => {
                    self.cluster.extend(letters);
                    return self.cluster.pop_front().map(|letter| self.short_option(letter));
                }
                _ => self.positionals.push(arg),
            }
        }
        None
    }

    /// Parses `--name` or `--name=value`. `text` is the part after the dashes.
    fn long_option(&mut self, text: &[u8]) -> Result<Opt, GetoptError> {
        let mut halves = text.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default();
        let attached = halves.next().map(|value| OsString::from_vec(value.to_vec()));

        let (index, spec) = match self.look_up(name) {
            Match::One(index, spec) => (index, spec),
            Match::None => return Err(self.error(Problem::Unrecognized(lossy(text)))),
            Match::Several(candidates) => {
                return Err(self.error(Problem::Ambiguous { given: lossy(text), candidates }));
            }
        };
        let value = match (spec.arg, attached) {
            (Arg::No, None) => None,
            (Arg::No, Some(_)) => return Err(self.error(Problem::ArgumentNotAllowed(spec.long))),
            (Arg::Required, Some(value)) => Some(value),
            (Arg::Required, None) => match self.args.pop_front() {
                Some(value) => Some(value),
                None => return Err(self.error(Problem::LongArgumentMissing(spec.long))),
            },
        };
        Ok(Opt { index, value })
    }

    /// Parses one letter of a cluster. The argument may be the rest of the cluster.
    fn short_option(&mut self, letter: u8) -> Result<Opt, GetoptError> {
        let found = self.specs.iter().enumerate().find(|(_, spec)| spec.short == Some(char::from(letter)));
        let Some((index, spec)) = found.filter(|_| letter.is_ascii()) else {
            return Err(self.error(Problem::InvalidLetter(letter)));
        };
        let value = match spec.arg {
            Arg::No => None,
            Arg::Required if !self.cluster.is_empty() => {
                Some(OsString::from_vec(self.cluster.drain(..).collect()))
            }
            Arg::Required => match self.args.pop_front() {
                Some(value) => Some(value),
                None => return Err(self.error(Problem::ShortArgumentMissing(letter))),
            },
        };
        Ok(Opt { index, value })
    }

    fn look_up(&self, name: &[u8]) -> Match<'a> {
        let named = self.specs.iter().enumerate();
        if let Some((index, spec)) = named.clone().find(|(_, spec)| spec.long.as_bytes() == name) {
            return Match::One(index, spec);
        }
        for tier in [Tier::Original, Tier::Extension] {
            let mut candidates =
                named.clone().filter(|(_, spec)| spec.tier == tier && spec.long.as_bytes().starts_with(name));
            if let Some((index, spec)) = candidates.next() {
                let others: Vec<_> = candidates.map(|(_, other)| other.long).collect();
                return if others.is_empty() {
                    Match::One(index, spec)
                } else {
                    Match::Several([vec![spec.long], others].concat())
                };
            }
        }
        Match::None
    }

    fn error(&self, problem: Problem) -> GetoptError {
        GetoptError { argv0: self.argv0.clone(), problem }
    }
}

impl Iterator for Getopt<'_> {
    type Item = Result<Opt, GetoptError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.cluster.pop_front() {
            Some(letter) => Some(self.short_option(letter)),
            None => self.next_argument(),
        }
    }
}

enum Match<'a> {
    None,
    One(usize, &'a OptSpec),
    Several(Vec<&'static str>),
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// An error in a command line. `Display` prints glibc's message without the line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetoptError {
    /// The name of the program as it was called.
    pub argv0: String,
    /// The error.
    pub problem: Problem,
}

/// The kinds of [`GetoptError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No option has this name. The value is the text after the dashes.
    Unrecognized(String),
    /// The abbreviation matches several options.
    Ambiguous {
        /// The text after the dashes.
        given: String,
        /// The matching options.
        candidates: Vec<&'static str>,
    },
    /// This flag has an argument.
    ArgumentNotAllowed(&'static str),
    /// This long option is the last word, but requires an argument.
    LongArgumentMissing(&'static str),
    /// This short option is the last word, but requires an argument.
    ShortArgumentMissing(u8),
    /// No option has this letter.
    InvalidLetter(u8),
}

impl fmt::Display for GetoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.argv0)?;
        match &self.problem {
            Problem::Unrecognized(given) => write!(f, "unrecognized option '--{given}'"),
            Problem::Ambiguous { given, candidates } => {
                write!(f, "option '--{given}' is ambiguous; possibilities:")?;
                candidates.iter().try_for_each(|name| write!(f, " '--{name}'"))
            }
            Problem::ArgumentNotAllowed(name) => write!(f, "option '--{name}' doesn't allow an argument"),
            Problem::LongArgumentMissing(name) => write!(f, "option '--{name}' requires an argument"),
            Problem::ShortArgumentMissing(letter) => {
                write!(f, "option requires an argument -- '{}'", lossy(&[*letter]))
            }
            Problem::InvalidLetter(letter) => write!(f, "invalid option -- '{}'", lossy(&[*letter])),
        }
    }
}

impl std::error::Error for GetoptError {}
