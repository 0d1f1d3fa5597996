//! The cases of the suite and their evaluation.

use std::sync::{PoisonError, RwLock};

use dormouse_tests::{Failure, Result, Subject};

/// One specified behaviour.
pub(crate) struct Case {
    /// The name, unique in its section.
    pub(crate) id: &'static str,
    /// The action of the case.
    pub(crate) what: &'static str,
    /// The expected result.
    pub(crate) expect: Expect,
    /// Whether no other case may run at the same time, because this one measures time or processor use.
    pub(crate) alone: bool,
    /// Performs the action and returns a text that describes the result.
    pub(crate) run: fn(Subject) -> Result<String>,
}

/// The expected result; `*` in a text matches any text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The same result from dormouse and from every release of systemd-socket-proxyd.
    Same(&'static str),
    /// systemd-socket-proxyd changed between the two releases; dormouse behaves as the newer one.
    Changed { v252: &'static str, v261: &'static str },
    /// dormouse differs on purpose: the row of docs/differences.md, and the result of each program.
    Differs { difference: &'static str, socket_proxyd: &'static str, dormouse: &'static str },
    /// systemd-socket-proxyd changed, and dormouse differs from both releases.
    ChangedAndDiffers {
        difference: &'static str,
        v252: &'static str,
        v261: &'static str,
        dormouse: &'static str,
    },
}

/// The last release that is known to have the older behaviour.
const FIRST: u32 = 252;
/// The first release that is known to have the newer behaviour.
const LAST: u32 = 261;

impl Expect {
    /// The row of docs/differences.md that the expectation refers to.
    pub(crate) fn difference(self) -> Option<&'static str> {
        match self {
            Self::Same(_) | Self::Changed { .. } => None,
            Self::Differs { difference, .. } | Self::ChangedAndDiffers { difference, .. } => Some(difference),
        }
    }

    /// The allowed results of `subject`.
    fn allowed(self, subject: Subject, release: u32) -> Vec<&'static str> {
        match (self, subject) {
            (Self::Same(text), _)
            | (
                Self::Changed { v261: text, .. }
                | Self::Differs { dormouse: text, .. }
                | Self::ChangedAndDiffers { dormouse: text, .. },
                Subject::Dormouse,
            )
            | (Self::Differs { socket_proxyd: text, .. }, Subject::SocketProxyd) => vec![text],
            (
                Self::Changed { v252, v261 } | Self::ChangedAndDiffers { v252, v261, .. },
                Subject::SocketProxyd,
            ) => {
                if release <= FIRST {
                    vec![v252]
                } else if release >= LAST {
                    vec![v261]
                } else {
                    // The release that changed the behaviour is not known.
                    vec![v252, v261]
                }
            }
        }
    }
}

/// Cases hold this lock for reading; cases that must run alone hold it for writing.
static MACHINE: RwLock<()> = RwLock::new(());

impl Case {
    /// Runs the case on `subject`.
    ///
    /// # Errors
    /// When the case cannot complete, or its result is not the expected one.
    pub(crate) fn judge(&self, subject: Subject) -> Result<()> {
        // A failed case poisons the lock. This case can still run.
        let alone = self.alone.then(|| MACHINE.write().unwrap_or_else(PoisonError::into_inner));
        let together = (!self.alone).then(|| MACHINE.read().unwrap_or_else(PoisonError::into_inner));
        // Only the behaviour of systemd-socket-proxyd depends on its release.
        let release = match subject {
            Subject::Dormouse => LAST,
            Subject::SocketProxyd => Subject::systemd_release()?,
        };
        let seen = (self.run)(subject);
        drop((alone, together));
        let seen = seen.map_err(|failure| {
            Failure::Unexpected(format!("{} ({}), {subject}: {failure}", self.id, self.what))
        })?;
        let allowed = self.expect.allowed(subject, release);
        if allowed.iter().any(|pattern| matches(pattern, &seen)) {
            return Ok(());
        }
        let version = match subject {
            Subject::Dormouse => String::new(),
            Subject::SocketProxyd => format!(" {release}"),
        };
        Err(Failure::Unexpected(format!(
            "{} ({}), {subject}{version}:\n     seen: {seen}\n expected: {}",
            self.id,
            self.what,
            allowed.join("\n       or: "),
        )))
    }
}

/// Runs the case `id` of `cases`.
///
/// # Errors
/// Those of [`Case::judge`].
pub(crate) fn judge(cases: &[Case], id: &str, subject: Subject) -> Result<()> {
    match cases.iter().find(|case| case.id == id) {
        Some(case) => case.judge(subject),
        None => Err(Failure::Unexpected(format!("there is no case {id}"))),
    }
}

/// Calls `run` while no case runs.
pub(crate) fn alone<T>(run: impl FnOnce() -> T) -> T {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    run()
}

/// Whether `text` matches `pattern`, in which each `*` matches any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

/// Declares the cases of a section: a list `CASES`, and for each case a test, which the macro `row` of the suite's
/// `main.rs` defines. A case marked `#[alone]` runs alone; a case marked `#[root]` needs root.
macro_rules! cases {
    (@alone) => { false };
    (@alone alone) => { true };
    (@alone root) => { false };
    ($($(#[$mode:ident])? $id:ident: $what:expr => $expect:expr, $run:expr;)+) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$($crate::case::Case {
            id: stringify!($id),
            what: $what,
            expect: $expect,
            alone: $crate::case::cases!(@alone $($mode)?),
            run: $run,
        }),+];

        $($crate::row!($id $($mode)?);)+
    };
}
pub(crate) use cases;

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcd", false),
        ("*", "", true),
        ("a*a", "a", false),
        ("*x*", "y", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}
