//! The health of a server: the results of checks and sessions, and the administrator's state.
//!
//! The terms and the arithmetic are `HAProxy`'s: `fall` consecutive failures take a server down, `rise` consecutive
//! successes bring it up. The time between checks is `fastinter` during a transition, `downinter` while the server is
//! down, and `inter` otherwise.

use std::time::{Duration, Instant};

use super::check_settings::{CheckSettings, Observe, OnError};
use super::downtime::Downtime;
use super::status::{AdminState, CheckCounter, CheckResult, HealthChange, Status};
use super::streak::Streak;
use crate::time::saturating_add;

/// The health of one server.
#[derive(Debug)]
pub struct Health {
    checks: Option<CheckSettings>,
    admin: AdminState,
    streak: Streak,
    since: Instant,
    /// The time of the next check.
    next_check: Instant,
    /// The time of the last check.
    last_check: Instant,
    /// The number of consecutive sessions that could not connect.
    errors: u32,
    /// The time at which the server came up, while its weight grows.
    slowstart_since: Option<Instant>,
    down_count: u64,
    failed_checks: u64,
    downtime: Downtime,
}

/// The shortest time between two checks that sessions trigger: while a session waits and no server is usable, and after
/// a failed connection to a server that is up.
const MIN_PROBE_INTERVAL: Duration = Duration::from_millis(50);

impl Health {
    /// Creates the health of a server that was never checked. The first check comes after `offset`, which spreads the
    /// checks of several servers.
    pub fn new(checks: Option<CheckSettings>, admin: AdminState, now: Instant, offset: Duration) -> Self {
        let streak = Streak::initial(checks.as_ref());
        let due = saturating_add(now, offset);
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
            downtime: Downtime::default(),
        };
        health.update_downtime(now);
        health
    }

    /// The current status.
    pub fn status(&self) -> Status {
        match (self.admin, &self.checks, self.streak) {
            (AdminState::Maint, ..) => Status::Maint,
            (_, Some(_), Streak::Down(_)) => Status::Down,
            (AdminState::Drain, ..) => Status::Drain,
            (AdminState::Ready, None, _) => Status::NoCheck,
            (AdminState::Ready, Some(_), Streak::Up(_)) => Status::Up,
        }
    }

    /// The administrator's state.
    pub fn admin(&self) -> AdminState {
        self.admin
    }

    /// The time of the last change of the status.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The number of times that the server went down.
    pub fn down_count(&self) -> u64 {
        self.down_count
    }

    /// The number of failed checks, without the repeated failures of a server that is down.
    pub fn failed_checks(&self) -> u64 {
        self.failed_checks
    }

    /// The total time in which the server was down or in maintenance.
    pub fn downtime(&self, now: Instant) -> Duration {
        self.downtime.total(now)
    }

    /// The counter of consecutive check results. `None` while the server is not checked.
    pub fn check_counter(&self) -> Option<CheckCounter> {
        let checks = self.checks.as_ref().filter(|_| self.admin != AdminState::Maint)?;
        Some(self.streak.counter(checks.rise.get(), checks.fall.get()))
    }

    /// Whether the server has checks.
    pub fn is_checked(&self) -> bool {
        self.checks.is_some()
    }

    /// Whether the server is up according to its checks.
    pub fn is_up(&self) -> bool {
        matches!(self.streak, Streak::Up(_))
    }

    /// Whether the server gets new sessions.
    pub fn takes_sessions(&self) -> bool {
        self.admin == AdminState::Ready && self.is_up()
    }

    /// The time of the next check. `None`: no check. `wanted`: whether a session waits and no server is usable.
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

    /// Records the result of a check.
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

    /// Records whether a session connected to the server.
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

    /// Brings the next check forward after a suspicious event without a session. The event is not a failed check,
    /// because several events can follow within milliseconds.
    pub fn expedite_check(&mut self, now: Instant) {
        let Some(checks) = &self.checks else { return };
        self.next_check = self.next_check.min(saturating_add(now, checks.fastinter));
    }

    /// Marks the server as asleep. A sleeping server is not checked and counts as up: the session that wakes it finds
    /// out.
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

    /// Sets the administrator's state.
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

    /// Forgets all results, as for a new server.
    pub fn reset(&mut self, now: Instant) {
        self.streak = Streak::initial(self.checks.as_ref());
        self.errors = 0;
        self.slowstart_since = None;
        (self.next_check, self.since) = (now, now);
        self.update_downtime(now);
    }

    /// An administrator declares the server up or down. The next checks can change that.
    pub fn force(&mut self, now: Instant, up: bool) -> Option<HealthChange> {
        let checks = self.checks.as_ref()?;
        self.next_check = saturating_add(now, checks.inter);
        match (self.is_up(), up) {
            (false, true) => Some(self.rise(now)),
            (true, false) => Some(self.fall(now)),
            _ => None,
        }
    }

    /// The weight in 256ths, reduced during the slow start.
    pub fn effective_weight(&self, weight: u32, now: Instant) -> u64 {
        let full = u64::from(weight) * 256;
        let Some((passed, whole)) = self.slowstart_progress(now) else { return full };
        let part = u128::from(full) * passed / whole.max(1);
        u64::try_from(part).unwrap_or(full).clamp(u64::from(weight > 0), full)
    }

    /// The percentage of the weight during the slow start.
    pub fn throttle(&self, now: Instant) -> Option<u32> {
        let (passed, whole) = self.slowstart_progress(now)?;
        u32::try_from((100 * passed).div_ceil(whole.max(1))).ok().map(|percent| percent.clamp(1, 100))
    }

    /// The elapsed and the total time of the slow start, in milliseconds.
    fn slowstart_progress(&self, now: Instant) -> Option<(u128, u128)> {
        let (since, checks) = (self.slowstart_since?, self.checks.as_ref()?);
        let (passed, whole) =
            (now.saturating_duration_since(since).as_millis(), checks.slowstart.as_millis());
        (passed < whole).then_some((passed, whole))
    }

    fn passed(&mut self, now: Instant) -> Option<HealthChange> {
        let rise = self.checks.as_ref().map_or(1, |checks| checks.rise.get());
        match self.streak.passed(rise) {
            Some(streak) => {
                self.streak = streak;
                None
            }
            None => Some(self.rise(now)),
        }
    }

    fn failed(&mut self, now: Instant) -> Option<HealthChange> {
        self.failed_checks += u64::from(self.streak != Streak::Down(0));
        let fall = self.checks.as_ref().map_or(u32::MAX, |checks| checks.fall.get());
        match self.streak.failed(fall) {
            Some(streak) => {
                self.streak = streak;
                None
            }
            None => Some(self.fall(now)),
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

    /// Starts or stops the downtime clock.
    fn update_downtime(&mut self, now: Instant) {
        self.downtime.update(now, self.admin == AdminState::Maint || !self.is_up());
    }

    fn interval(&self) -> Duration {
        self.checks.as_ref().map_or(Duration::MAX, |checks| self.streak.interval(checks))
    }
}
