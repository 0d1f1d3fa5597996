//! What a case is, and how it is judged.

use std::sync::{PoisonError, RwLock};

use dormouse_tests::{Failure, Result, Subject};

/// One thing the behaviour of which is laid down.
pub(crate) struct Case {
    /// Its name, unique in its section.
    pub(crate) id: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// What must come of it.
    pub(crate) expect: Expect,
    /// Whether it must be the only case that runs (it measures time or processor use).
    pub(crate) alone: bool,
    /// Does it and says what came of it.
    pub(crate) run: fn(Subject) -> Result<String>,
}

/// What must be seen; `*` in a text stands for anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The same from ours and from every release of the original.
    Same(&'static str),
    /// The original changed between the two releases; ours does as the new one does.
    Changed { v252: &'static str, v261: &'static str },
    /// Dormouse differs on purpose: the row of docs/differences.md, and what each does.
    Differs { difference: &'static str, original: &'static str, ours: &'static str },
    /// Both at once: the original changed, and ours differs from either.
    ChangedAndDiffers { difference: &'static str, v252: &'static str, v261: &'static str, ours: &'static str },
}

/// The last release of which the older behaviour is known, and the first of which the newer one is.
const MEASURED: u32 = 252;
const READ: u32 = 261;

impl Expect {
    /// The row of docs/differences.md that it refers to.
    pub(crate) fn difference(self) -> Option<&'static str> {
        match self {
            Self::Same(_) | Self::Changed { .. } => None,
            Self::Differs { difference, .. } | Self::ChangedAndDiffers { difference, .. } => Some(difference),
        }
    }

    /// What may be seen of `subject`.
    fn allowed(self, subject: Subject, release: u32) -> Vec<&'static str> {
        match (self, subject) {
            (Self::Same(text), _)
            | (
                Self::Changed { v261: text, .. }
                | Self::Differs { ours: text, .. }
                | Self::ChangedAndDiffers { ours: text, .. },
                Subject::Dormouse,
            )
            | (Self::Differs { original: text, .. }, Subject::SocketProxyd) => vec![text],
            (
                Self::Changed { v252, v261 } | Self::ChangedAndDiffers { v252, v261, .. },
                Subject::SocketProxyd,
            ) => {
                if release <= MEASURED {
                    vec![v252]
                } else if release >= READ {
                    vec![v261]
                } else {
                    // It changed somewhere in between.
                    vec![v252, v261]
                }
            }
        }
    }
}

/// Held for reading by each case, for writing by those that must be alone.
static MACHINE: RwLock<()> = RwLock::new(());

impl Case {
    /// Runs it on `subject`.
    ///
    /// # Errors
    /// When it could not be run to its end, or something else was seen than is expected.
    pub(crate) fn judge(&self, subject: Subject) -> Result<()> {
        // A poisoned lock is that of a case that failed, which is no reason for this one to fail.
        let alone = self.alone.then(|| MACHINE.write().unwrap_or_else(PoisonError::into_inner));
        let together = (!self.alone).then(|| MACHINE.read().unwrap_or_else(PoisonError::into_inner));
        // Only the original's behaviour depends on its release.
        let release = match subject {
            Subject::Dormouse => READ,
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

/// Finds the case `id` among `cases` and judges it.
///
/// # Errors
/// Those of [`Case::judge`].
pub(crate) fn judge(cases: &[Case], id: &str, subject: Subject) -> Result<()> {
    match cases.iter().find(|case| case.id == id) {
        Some(case) => case.judge(subject),
        None => Err(Failure::Unexpected(format!("there is no case {id}"))),
    }
}

/// Runs something while no case runs.
pub(crate) fn alone<T>(run: impl FnOnce() -> T) -> T {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    run()
}

/// Whether `text` is `pattern`, in which each `*` stands for any text.
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

/// Declares the cases of a section: a list `CASES`, and for each case a test of the suite's subject, which the macro
/// `row` of the suite's `main.rs` defines. A case marked `#[alone]` runs while no other does; one marked `#[root]` needs
/// root.
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
fn patterns() {
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
