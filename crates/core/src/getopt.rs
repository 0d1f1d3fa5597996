//! Command lines read as GNU `getopt_long()` reads them, without a C library and without global state.
//!
//! Options may stand after positional arguments, long ones may be abbreviated, short ones clustered, and what goes
//! wrong is told in the words of glibc. Options come one at a time, from left to right, so that the caller can act
//! on one (print the help, say) before a later one turns out to be wrong.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Whether an option takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// A flag: no argument is allowed.
    No,
    /// An argument must follow: `--opt=v`, `--opt v`, `-ov` or `-o v`.
    Required,
}

/// Which options an abbreviation is looked for in first.
///
/// A program that takes another one's place must not make that one's abbreviations ambiguous by the options it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// An option of the program whose command line is imitated.
    Original,
    /// An addition. Its abbreviations count only where they match no original option.
    Extension,
}

/// One option of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptSpec {
    /// The ASCII letter behind a single `-`, if there is one.
    pub short: Option<char>,
    /// The name behind `--`.
    pub long: &'static str,
    /// Whether an argument belongs to it.
    pub arg: Arg,
    /// Where its abbreviations rank.
    pub tier: Tier,
}

/// An option as it was found on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// Its place in the table of options.
    pub index: usize,
    /// Its argument: `Some` exactly if the option takes one.
    pub value: Option<OsString>,
}

/// Reads a command line from left to right; as an iterator it yields the options.
///
/// After an error it may be asked for the next option, as `getopt_long()` may.
#[derive(Debug, Clone)]
pub struct Getopt<'a> {
    argv0: String,
    specs: &'a [OptSpec],
    args: VecDeque<OsString>,
    /// What is left of an argument like `-abc` after its first letters.
    cluster: VecDeque<u8>,
    positionals: Vec<OsString>,
}

impl<'a> Getopt<'a> {
    /// Starts on `args`, which do not contain the program's name. `argv0` is that name, for the errors.
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

    /// What is not an option, in order. To be called when there are no more options; arguments that were not read
    /// by then are left out.
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

    /// Reads `--name` or `--name=value`; `text` is what stands behind the dashes.
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

    /// Reads one letter of a cluster; an argument may be the rest of the cluster.
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

/// What is wrong with a command line. Its `Display` is the line that glibc would print, without the line's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetoptError {
    /// The program's name as it was called.
    pub argv0: String,
    /// What is wrong.
    pub problem: Problem,
}

/// The kinds of [`GetoptError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No option has this name; what was given behind the dashes, with its value.
    Unrecognized(String),
    /// An abbreviation of more than one option.
    Ambiguous {
        /// What was given behind the dashes, with its value.
        given: String,
        /// The options that it could mean.
        candidates: Vec<&'static str>,
    },
    /// This flag was given an argument.
    ArgumentNotAllowed(&'static str),
    /// This long option is the last word, but needs an argument.
    LongArgumentMissing(&'static str),
    /// This short option is the last word, but needs an argument.
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
