//! Whether a server takes sessions: what checks and traffic tell of it, and what an administrator wants.
//!
//! The words and the arithmetic are `HAProxy`'s: `fall` failures in a row take a server down, `rise` successes in a row
//! bring it back; in between checks come every `fastinter`, while it is down every `downinter`, otherwise every `inter`.

use std::fmt;
use std::time::{Duration, Instant};

use super::check_settings::{CheckSettings, InitialState, Observe, OnError};
use crate::time::saturating_add;

/// What an administrator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdminState {
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
    /// See [`AdminState::Drain`].
    Drain,
    /// See [`AdminState::Maint`].
    Maint,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The server is there.
    Passed,
    /// It is not.
    Failed,
    /// The check could not be made, or the server was too busy for it: that tells neither.
    Inconclusive,
}

/// A change of a server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// It came back.
    Up,
    /// It went down.
    Down,
}

/// The health of one server.
#[derive(Debug)]
pub struct Health {
    checks: Option<CheckSettings>,
    admin: AdminState,
    streak: Streak,
    since: Instant,
    /// The next check.
    next_check: Instant,
    /// The last one.
    last_check: Instant,
    /// Sessions in a row that did not get through.
    errors: u32,
    /// It came back then, and its weight grows.
    slowstart_since: Option<Instant>,
    down_count: u64,
    failed_checks: u64,
    downtime: Downtime,
}

/// A row of checks that said the same, in the field's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckCounter {
    /// Successes in a row that bring the server back.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// While it is down, successes in a row. While it is up, `rise + fall - 1` without failures, and one less for each
    /// in a row.
    pub health: u32,
}

impl CheckCounter {
    /// How many more failures it endures, while it is up and has failed lately, or was never found well.
    pub fn failures_left(&self) -> Option<u32> {
        let left = (self.health.saturating_add(1)).saturating_sub(self.rise);
        (left < self.fall).then_some(left)
    }
}

/// For how long a server was down or in maintenance.
#[derive(Debug, Clone, Copy)]
struct Downtime {
    /// Before the last time.
    before: Duration,
    /// Since when it is so now.
    since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streak {
    /// After so many failures in a row.
    Up(u32),
    /// After so many successes in a row.
    Down(u32),
}

/// Between two checks that sessions ask for: while one waits and no other server is there, and where one did not get
/// through to a server that was thought to be well.
const MIN_PROBE_INTERVAL: Duration = Duration::from_millis(50);

impl Health {
    /// A server that was not last_check at yet. The first check comes after `offset`, which spreads those of several.
    pub fn new(checks: Option<CheckSettings>, admin: AdminState, now: Instant, offset: Duration) -> Self {
        let streak = initial(checks.as_ref());
        let due = saturating_add(now, offset);
        let downtime = Downtime { before: Duration::ZERO, since: None };
        let mut health = Self {
            checks,
            admin,
            streak,
            since: now,
            next_check: due,
            last_check: now,
            errors: 0,
            slowstart_since: None,
            down_count: 0,
            failed_checks: 0,
            downtime,
        };
        health.update_downtime(now);
        health
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match (self.admin, &self.checks, self.streak) {
            (AdminState::Maint, ..) => Status::Maint,
            (_, Some(_), Streak::Down(_)) => Status::Down,
            (AdminState::Drain, ..) => Status::Drain,
            (AdminState::Ready, None, _) => Status::NoCheck,
            (AdminState::Ready, Some(_), Streak::Up(_)) => Status::Up,
        }
    }

    /// What the administrator wants.
    pub fn admin(&self) -> AdminState {
        self.admin
    }

    /// Since when it stands there.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How often it went down.
    pub fn down_count(&self) -> u64 {
        self.down_count
    }

    /// How many checks failed, but for those of a server that was down already.
    pub fn failed_checks(&self) -> u64 {
        self.failed_checks
    }

    /// For how long it was down or in maintenance, all in all.
    pub fn downtime(&self, now: Instant) -> Duration {
        let Downtime { before, since } = self.downtime;
        before + since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// What its checks said in a row, while it is checked.
    pub fn check_counter(&self) -> Option<CheckCounter> {
        let checks = self.checks.as_ref().filter(|_| self.admin != AdminState::Maint)?;
        let (rise, fall) = (checks.rise.get(), checks.fall.get());
        let health = match self.streak {
            Streak::Up(failures) => rise.saturating_add(fall - 1).saturating_sub(failures),
            Streak::Down(successes) => successes,
        };
        Some(CheckCounter { rise, fall, health })
    }

    /// Whether it is checked at all.
    pub fn is_checked(&self) -> bool {
        self.checks.is_some()
    }

    /// Whether it can serve, as far as checks tell.
    pub fn is_up(&self) -> bool {
        matches!(self.streak, Streak::Up(_))
    }

    /// Whether it gets new sessions.
    pub fn takes_sessions(&self) -> bool {
        self.admin == AdminState::Ready && self.is_up()
    }

    /// When it is to be checked next; `None`: not at all. `wanted`: somebody waits, and nobody else is there.
    pub fn next_check(&self, wanted: bool) -> Option<Instant> {
        if self.checks.is_none() || self.admin == AdminState::Maint {
            return None;
        }
        let wanted = wanted && !self.is_up();
        Some(if wanted {
            self.next_check.min(saturating_add(self.last_check, MIN_PROBE_INTERVAL))
        } else {
            self.next_check
        })
    }

    /// A check has come to its end.
    pub fn record_check(&mut self, now: Instant, result: CheckResult) -> Option<HealthChange> {
        if self.admin == AdminState::Maint {
            return None;
        }
        self.last_check = now;
        let change = match result {
            CheckResult::Passed => self.passed(now),
            CheckResult::Failed => self.failed(now),
            CheckResult::Inconclusive => None,
        };
        self.next_check = saturating_add(now, self.interval());
        change
    }

    /// A session got through to it, or did not.
    pub fn record_session(&mut self, now: Instant, got_through: bool) -> Option<HealthChange> {
        let checks = self.checks.as_ref()?;
        if got_through {
            self.errors = 0;
            if checks.passive && self.is_up() {
                self.streak = Streak::Up(0);
                self.next_check = self.next_check.max(saturating_add(now, checks.inter));
            }
            return None;
        }
        if self.streak == Streak::Up(0) {
            self.next_check =
                self.next_check.min(saturating_add(self.last_check, MIN_PROBE_INTERVAL).max(now));
        }
        let Observe { error_limit, on_error } = checks.observe?;
        self.errors = self.errors.saturating_add(1);
        if self.errors < error_limit.get() || !self.is_up() || self.admin == AdminState::Maint {
            return None;
        }
        self.errors = 0;
        let (soon, fatal) = (saturating_add(now, checks.fastinter), checks.fall.get().saturating_sub(1));
        let change = match (on_error, self.streak) {
            (OnError::FailCheck, _) => self.failed(now),
            (OnError::SuddenDeath, Streak::Up(failures)) => {
                self.streak = Streak::Up(failures.max(fatal));
                None
            }
            (OnError::MarkDown, _) => Some(self.fall(now)),
            _ => None,
        };
        self.next_check = self.next_check.min(soon);
        change
    }

    /// Something happened to it, and nobody was there then. That is no failed check, of which several could follow in
    /// no time, but the next one comes soon.
    pub fn expedite_check(&mut self, now: Instant) {
        let Some(checks) = &self.checks else { return };
        self.next_check = self.next_check.min(saturating_add(now, checks.fastinter));
    }

    /// It sleeps, and is not last_check at: whoever wakes it will see. So it is no longer down.
    pub fn mark_asleep(&mut self, now: Instant) -> Option<HealthChange> {
        self.errors = 0;
        self.next_check = saturating_add(now, self.checks.as_ref()?.inter);
        let was_up = self.is_up();
        self.streak = Streak::Up(0);
        self.update_downtime(now);
        (!was_up).then(|| {
            self.since = now;
            HealthChange::Up
        })
    }

    /// An administrator wants something else of it.
    pub fn set_admin(&mut self, now: Instant, admin: AdminState) {
        if self.admin == admin {
            return;
        }
        if self.admin == AdminState::Maint {
            self.reset(now);
        }
        self.admin = admin;
        self.since = now;
        self.update_downtime(now);
    }

    /// Nothing is known of it any more.
    pub fn reset(&mut self, now: Instant) {
        self.streak = initial(self.checks.as_ref());
        self.errors = 0;
        self.slowstart_since = None;
        (self.next_check, self.since) = (now, now);
        self.update_downtime(now);
    }

    /// An administrator says that it is up, or down; the next checks say what they find.
    pub fn force(&mut self, now: Instant, up: bool) -> Option<HealthChange> {
        let checks = self.checks.as_ref()?;
        self.next_check = saturating_add(now, checks.inter);
        match (self.is_up(), up) {
            (false, true) => Some(self.rise(now)),
            (true, false) => Some(self.fall(now)),
            _ => None,
        }
    }

    /// Its weight in 256ths, which grows after it came back.
    pub fn effective_weight(&self, weight: u32, now: Instant) -> u64 {
        let full = u64::from(weight) * 256;
        let Some((passed, whole)) = self.slowstart_progress(now) else { return full };
        let part = u128::from(full) * passed / whole.max(1);
        u64::try_from(part).unwrap_or(full).clamp(u64::from(weight > 0), full)
    }

    /// What part of its weight it has, in percent, while that grows.
    pub fn throttle(&self, now: Instant) -> Option<u32> {
        let (passed, whole) = self.slowstart_progress(now)?;
        u32::try_from((100 * passed).div_ceil(whole.max(1))).ok().map(|percent| percent.clamp(1, 100))
    }

    /// How much of which time has passed since it came back, in milliseconds.
    fn slowstart_progress(&self, now: Instant) -> Option<(u128, u128)> {
        let (since, checks) = (self.slowstart_since?, self.checks.as_ref()?);
        let (passed, whole) =
            (now.saturating_duration_since(since).as_millis(), checks.slowstart.as_millis());
        (passed < whole).then_some((passed, whole))
    }

    fn passed(&mut self, now: Instant) -> Option<HealthChange> {
        let rise = self.checks.as_ref().map_or(1, |checks| checks.rise.get());
        match self.streak {
            Streak::Down(successes) if successes.saturating_add(1) < rise => {
                self.streak = Streak::Down(successes + 1);
                None
            }
            Streak::Down(_) => Some(self.rise(now)),
            Streak::Up(_) => {
                self.streak = Streak::Up(0);
                None
            }
        }
    }

    fn failed(&mut self, now: Instant) -> Option<HealthChange> {
        self.failed_checks += u64::from(self.streak != Streak::Down(0));
        let fall = self.checks.as_ref().map_or(u32::MAX, |checks| checks.fall.get());
        match self.streak {
            Streak::Up(failures) if failures.saturating_add(1) < fall => {
                self.streak = Streak::Up(failures + 1);
                None
            }
            Streak::Up(_) => Some(self.fall(now)),
            Streak::Down(_) => {
                self.streak = Streak::Down(0);
                None
            }
        }
    }

    fn rise(&mut self, now: Instant) -> HealthChange {
        self.streak = Streak::Up(0);
        self.since = now;
        self.errors = 0;
        self.slowstart_since = self.checks.as_ref().filter(|checks| !checks.slowstart.is_zero()).map(|_| now);
        self.update_downtime(now);
        HealthChange::Up
    }

    fn fall(&mut self, now: Instant) -> HealthChange {
        self.streak = Streak::Down(0);
        self.since = now;
        self.errors = 0;
        self.slowstart_since = None;
        self.down_count += 1;
        self.update_downtime(now);
        HealthChange::Down
    }

    /// Counts the time in which it takes nobody.
    fn update_downtime(&mut self, now: Instant) {
        let is_out = self.admin == AdminState::Maint || !self.is_up();
        match self.downtime.since {
            None if is_out => self.downtime.since = Some(now),
            Some(_) if !is_out => self.downtime = Downtime { before: self.downtime(now), since: None },
            _ => {}
        }
    }

    fn interval(&self) -> Duration {
        let Some(checks) = &self.checks else { return Duration::MAX };
        match self.streak {
            Streak::Up(0) => checks.inter,
            Streak::Down(0) => checks.downinter,
            Streak::Up(_) | Streak::Down(_) => checks.fastinter,
        }
    }
}

fn initial(checks: Option<&CheckSettings>) -> Streak {
    let Some(checks) = checks else { return Streak::Up(0) };
    match checks.initial_state {
        InitialState::Up => Streak::Up(checks.fall.get() - 1),
        InitialState::FullyUp => Streak::Up(0),
        InitialState::Down => Streak::Down(checks.rise.get() - 1),
        InitialState::FullyDown => Streak::Down(0),
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
