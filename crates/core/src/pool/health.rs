//! Whether a server takes sessions: what checks and traffic tell of it, and what an administrator wants.
//!
//! The words and the arithmetic are `HAProxy`'s: `fall` failures in a row take a server down, `rise` successes in a row
//! bring it back; in between checks come every `fastinter`, while it is down every `downinter`, otherwise every `inter`.

use std::fmt;
use std::time::{Duration, Instant};

use super::checks::{Checks, Init, Observe, OnError};
use crate::later::after;

/// What an administrator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admin {
    /// It serves when it can.
    #[default]
    Ready,
    /// It gets no new sessions, and keeps those that it has.
    Drain,
    /// It gets no new sessions, and is not checked.
    Maint,
}

/// Where a server stands, in the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It answers its checks.
    Up,
    /// It does not.
    Down,
    /// Nobody checks it; it is taken to be there.
    NoCheck,
    /// See [`Admin::Drain`].
    Drain,
    /// See [`Admin::Maint`].
    Maint,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The server is there.
    Passed,
    /// It is not.
    Failed,
    /// The check could not be made, or the server was too busy for it: that tells neither.
    Nothing,
}

/// A change of a server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It came back.
    Up,
    /// It went down.
    Down,
}

/// The health of one server.
#[derive(Debug)]
pub struct Health {
    checks: Option<Checks>,
    admin: Admin,
    vital: Vital,
    since: Instant,
    /// The next check.
    due: Instant,
    /// The last one.
    looked: Instant,
    /// Sessions in a row that did not get through.
    errors: u32,
    /// It came back then, and its weight grows.
    warming: Option<Instant>,
    downs: u64,
    failures: u64,
    out: Out,
}

/// A row of checks that said the same, in the field's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// Successes in a row that bring the server back.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// While it is down, successes in a row. While it is up, `rise + fall - 1` without failures, and one less for each
    /// in a row.
    pub health: u32,
}

impl Streak {
    /// How many more failures it endures, while it is up and has failed lately, or was never found well.
    pub fn left(&self) -> Option<u32> {
        let left = (self.health.saturating_add(1)).saturating_sub(self.rise);
        (left < self.fall).then_some(left)
    }
}

/// For how long a server was down or in maintenance.
#[derive(Debug, Clone, Copy)]
struct Out {
    /// Before the last time.
    before: Duration,
    /// Since when it is so now.
    since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vital {
    /// After so many failures in a row.
    Up(u32),
    /// After so many successes in a row.
    Down(u32),
}

/// Between two checks that sessions ask for: while one waits and no other server is there, and where one did not get
/// through to a server that was thought to be well.
const APART: Duration = Duration::from_millis(50);

impl Health {
    /// A server that was not looked at yet. The first check comes after `offset`, which spreads those of several.
    pub fn new(checks: Option<Checks>, admin: Admin, now: Instant, offset: Duration) -> Self {
        let vital = initial(checks.as_ref());
        let due = after(now, offset);
        let out = Out { before: Duration::ZERO, since: None };
        let mut health = Self {
            checks,
            admin,
            vital,
            since: now,
            due,
            looked: now,
            errors: 0,
            warming: None,
            downs: 0,
            failures: 0,
            out,
        };
        health.note(now);
        health
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match (self.admin, &self.checks, self.vital) {
            (Admin::Maint, ..) => Status::Maint,
            (_, Some(_), Vital::Down(_)) => Status::Down,
            (Admin::Drain, ..) => Status::Drain,
            (Admin::Ready, None, _) => Status::NoCheck,
            (Admin::Ready, Some(_), Vital::Up(_)) => Status::Up,
        }
    }

    /// What the administrator wants.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// Since when it stands there.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How often it went down.
    pub fn downs(&self) -> u64 {
        self.downs
    }

    /// How many checks failed, but for those of a server that was down already.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// For how long it was down or in maintenance, all in all.
    pub fn out(&self, now: Instant) -> Duration {
        let Out { before, since } = self.out;
        before + since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// What its checks said in a row, while it is checked.
    pub fn streak(&self) -> Option<Streak> {
        let checks = self.checks.as_ref().filter(|_| self.admin != Admin::Maint)?;
        let (rise, fall) = (checks.rise.get(), checks.fall.get());
        let health = match self.vital {
            Vital::Up(failures) => rise.saturating_add(fall - 1).saturating_sub(failures),
            Vital::Down(successes) => successes,
        };
        Some(Streak { rise, fall, health })
    }

    /// Whether it is checked at all.
    pub fn is_checked(&self) -> bool {
        self.checks.is_some()
    }

    /// Whether it can serve, as far as checks tell.
    pub fn is_up(&self) -> bool {
        matches!(self.vital, Vital::Up(_))
    }

    /// Whether it gets new sessions.
    pub fn takes_sessions(&self) -> bool {
        self.admin == Admin::Ready && self.is_up()
    }

    /// When it is to be checked next; `None`: not at all. `wanted`: somebody waits, and nobody else is there.
    pub fn due(&self, wanted: bool) -> Option<Instant> {
        if self.checks.is_none() || self.admin == Admin::Maint {
            return None;
        }
        let wanted = wanted && !self.is_up();
        Some(if wanted { self.due.min(after(self.looked, APART)) } else { self.due })
    }

    /// A check has come to its end.
    pub fn checked(&mut self, now: Instant, finding: Finding) -> Option<Change> {
        if self.admin == Admin::Maint {
            return None;
        }
        self.looked = now;
        let change = match finding {
            Finding::Passed => self.passed(now),
            Finding::Failed => self.failed(now),
            Finding::Nothing => None,
        };
        self.due = after(now, self.interval());
        change
    }

    /// A session got through to it, or did not.
    pub fn observed(&mut self, now: Instant, got_through: bool) -> Option<Change> {
        let checks = self.checks.as_ref()?;
        if got_through {
            self.errors = 0;
            if checks.passive && self.is_up() {
                self.vital = Vital::Up(0);
                self.due = self.due.max(after(now, checks.inter));
            }
            return None;
        }
        if self.vital == Vital::Up(0) {
            self.due = self.due.min(after(self.looked, APART).max(now));
        }
        let Observe { error_limit, on_error } = checks.observe?;
        self.errors = self.errors.saturating_add(1);
        if self.errors < error_limit.get() || !self.is_up() || self.admin == Admin::Maint {
            return None;
        }
        self.errors = 0;
        let (soon, fatal) = (after(now, checks.fastinter), checks.fall.get().saturating_sub(1));
        let change = match (on_error, self.vital) {
            (OnError::FailCheck, _) => self.failed(now),
            (OnError::SuddenDeath, Vital::Up(failures)) => {
                self.vital = Vital::Up(failures.max(fatal));
                None
            }
            (OnError::MarkDown, _) => Some(self.fall(now)),
            _ => None,
        };
        self.due = self.due.min(soon);
        change
    }

    /// Something happened to it, and nobody was there then. That is no failed check, of which several could follow in
    /// no time, but the next one comes soon.
    pub fn suspect(&mut self, now: Instant) {
        let Some(checks) = &self.checks else { return };
        self.due = self.due.min(after(now, checks.fastinter));
    }

    /// It sleeps, and is not looked at: whoever wakes it will see. So it is no longer down.
    pub fn asleep(&mut self, now: Instant) -> Option<Change> {
        self.errors = 0;
        self.due = after(now, self.checks.as_ref()?.inter);
        let was_up = self.is_up();
        self.vital = Vital::Up(0);
        self.note(now);
        (!was_up).then(|| {
            self.since = now;
            Change::Up
        })
    }

    /// An administrator wants something else of it.
    pub fn set_admin(&mut self, now: Instant, admin: Admin) {
        if self.admin == admin {
            return;
        }
        if self.admin == Admin::Maint {
            self.begin(now);
        }
        self.admin = admin;
        self.since = now;
        self.note(now);
    }

    /// Nothing is known of it any more.
    pub fn begin(&mut self, now: Instant) {
        self.vital = initial(self.checks.as_ref());
        self.errors = 0;
        self.warming = None;
        (self.due, self.since) = (now, now);
        self.note(now);
    }

    /// An administrator says that it is up, or down; the next checks say what they find.
    pub fn force(&mut self, now: Instant, up: bool) -> Option<Change> {
        let checks = self.checks.as_ref()?;
        self.due = after(now, checks.inter);
        match (self.is_up(), up) {
            (false, true) => Some(self.rise(now)),
            (true, false) => Some(self.fall(now)),
            _ => None,
        }
    }

    /// Its weight in 256ths, which grows after it came back.
    pub fn effective_weight(&self, weight: u32, now: Instant) -> u64 {
        let full = u64::from(weight) * 256;
        let Some((passed, whole)) = self.warmth(now) else { return full };
        let part = u128::from(full) * passed / whole.max(1);
        u64::try_from(part).unwrap_or(full).clamp(u64::from(weight > 0), full)
    }

    /// What part of its weight it has, in percent, while that grows.
    pub fn throttle(&self, now: Instant) -> Option<u32> {
        let (passed, whole) = self.warmth(now)?;
        u32::try_from((100 * passed).div_ceil(whole.max(1))).ok().map(|percent| percent.clamp(1, 100))
    }

    /// How much of which time has passed since it came back, in milliseconds.
    fn warmth(&self, now: Instant) -> Option<(u128, u128)> {
        let (since, checks) = (self.warming?, self.checks.as_ref()?);
        let (passed, whole) =
            (now.saturating_duration_since(since).as_millis(), checks.slowstart.as_millis());
        (passed < whole).then_some((passed, whole))
    }

    fn passed(&mut self, now: Instant) -> Option<Change> {
        let rise = self.checks.as_ref().map_or(1, |checks| checks.rise.get());
        match self.vital {
            Vital::Down(successes) if successes.saturating_add(1) < rise => {
                self.vital = Vital::Down(successes + 1);
                None
            }
            Vital::Down(_) => Some(self.rise(now)),
            Vital::Up(_) => {
                self.vital = Vital::Up(0);
                None
            }
        }
    }

    fn failed(&mut self, now: Instant) -> Option<Change> {
        self.failures += u64::from(self.vital != Vital::Down(0));
        let fall = self.checks.as_ref().map_or(u32::MAX, |checks| checks.fall.get());
        match self.vital {
            Vital::Up(failures) if failures.saturating_add(1) < fall => {
                self.vital = Vital::Up(failures + 1);
                None
            }
            Vital::Up(_) => Some(self.fall(now)),
            Vital::Down(_) => {
                self.vital = Vital::Down(0);
                None
            }
        }
    }

    fn rise(&mut self, now: Instant) -> Change {
        self.vital = Vital::Up(0);
        self.since = now;
        self.errors = 0;
        self.warming = self.checks.as_ref().filter(|checks| !checks.slowstart.is_zero()).map(|_| now);
        self.note(now);
        Change::Up
    }

    fn fall(&mut self, now: Instant) -> Change {
        self.vital = Vital::Down(0);
        self.since = now;
        self.errors = 0;
        self.warming = None;
        self.downs += 1;
        self.note(now);
        Change::Down
    }

    /// Counts the time in which it takes nobody.
    fn note(&mut self, now: Instant) {
        let is_out = self.admin == Admin::Maint || !self.is_up();
        match self.out.since {
            None if is_out => self.out.since = Some(now),
            Some(_) if !is_out => self.out = Out { before: self.out(now), since: None },
            _ => {}
        }
    }

    fn interval(&self) -> Duration {
        let Some(checks) = &self.checks else { return Duration::MAX };
        match self.vital {
            Vital::Up(0) => checks.inter,
            Vital::Down(0) => checks.downinter,
            Vital::Up(_) | Vital::Down(_) => checks.fastinter,
        }
    }
}

fn initial(checks: Option<&Checks>) -> Vital {
    let Some(checks) = checks else { return Vital::Up(0) };
    match checks.init {
        Init::Up => Vital::Up(checks.fall.get() - 1),
        Init::FullyUp => Vital::Up(0),
        Init::Down => Vital::Down(checks.rise.get() - 1),
        Init::FullyDown => Vital::Down(0),
    }
}

impl fmt::Display for Status {
    /// As `HAProxy` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::NoCheck => "no check",
            Self::Drain => "DRAIN",
            Self::Maint => "MAINT",
        })
    }
}
