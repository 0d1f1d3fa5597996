//! The health of a server.

use std::time::Instant;

use dormouse_core::pool::{
    AdminState, CheckCounter, CheckResult, CheckSettings, Health, HealthChange, InitialState, Observe,
    OnError, Status,
};

use super::{SECOND, checks, number};

fn health(checks: CheckSettings, now: Instant) -> Health {
    Health::new(Some(checks), AdminState::Ready, now, SECOND)
}

#[test]
fn three_failures_take_it_down_and_two_successes_bring_it_back() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    let due = |health: &Health| health.next_check(false).unwrap() - now;
    assert_eq!(due(&health), SECOND);
    assert_eq!(health.record_check(now, CheckResult::Failed), None);
    assert_eq!(due(&health), SECOND / 2);
    assert_eq!(health.record_check(now, CheckResult::Passed), None);
    assert_eq!(due(&health), SECOND * 2);
    assert_eq!(
        [(); 3].map(|()| health.record_check(now, CheckResult::Failed)),
        [None, None, Some(HealthChange::Down)]
    );
    assert_eq!((health.status(), health.takes_sessions(), health.down_count()), (Status::Down, false, 1));
    assert_eq!(due(&health), SECOND * 5);
    assert_eq!(health.record_check(now, CheckResult::Passed), None);
    assert_eq!(due(&health), SECOND / 2);
    assert_eq!(health.record_check(now, CheckResult::Failed), None);
    assert_eq!(due(&health), SECOND * 5);
    assert_eq!(
        [(); 2].map(|()| health.record_check(now, CheckResult::Passed)),
        [None, Some(HealthChange::Up)]
    );
    assert_eq!(health.status(), Status::Up);
}

#[test]
fn the_check_counter_uses_haproxys_figures() {
    let now = Instant::now();
    let mut health = health(CheckSettings { initial_state: InitialState::Up, ..checks() }, now);
    let mut after = |result| {
        health.record_check(now, result);
        let counter = health.check_counter().unwrap();
        assert_eq!((counter.rise, counter.fall), (2, 3));
        (counter.health, counter.failures_left().filter(|_| health.is_up()), health.failed_checks())
    };
    assert_eq!(after(CheckResult::Inconclusive), (2, Some(1), 0));
    assert_eq!(after(CheckResult::Passed), (4, None, 0));
    assert_eq!(after(CheckResult::Failed), (3, Some(2), 1));
    assert_eq!(after(CheckResult::Failed), (2, Some(1), 2));
    assert_eq!(after(CheckResult::Failed), (0, None, 3));
    // A server that is down cannot go down again.
    assert_eq!(after(CheckResult::Failed), (0, None, 3));
    assert_eq!(after(CheckResult::Passed), (1, None, 3));
    assert_eq!(after(CheckResult::Failed), (0, None, 4));
    assert_eq!([(); 2].map(|()| after(CheckResult::Passed)), [(1, None, 4), (4, None, 4)]);
    health.set_admin(now, AdminState::Maint);
    assert_eq!(health.check_counter(), None::<CheckCounter>);
}

#[test]
fn downtime_includes_maintenance() {
    let mut now = Instant::now();
    let mut health = health(checks(), now);
    let mut later = |seconds: u32| {
        now += SECOND * seconds;
        now
    };
    assert!(health.downtime(later(5)).is_zero());
    let down = later(0);
    assert_eq!([(); 3].map(|()| health.record_check(down, CheckResult::Failed))[2], Some(HealthChange::Down));
    assert_eq!(health.downtime(later(2)), SECOND * 2);
    health.set_admin(later(1), AdminState::Drain);
    health.set_admin(later(1), AdminState::Maint);
    let ready = later(1);
    health.set_admin(ready, AdminState::Ready);
    assert_eq!(health.downtime(later(10)), SECOND * 5);
    health.force(later(0), false);
    health.mark_asleep(later(1));
    assert_eq!(health.downtime(later(9)), SECOND * 6);
}

#[test]
fn the_initial_state_decides_how_many_checks_change_it() {
    let now = Instant::now();
    let until_change = |init, result| {
        let mut health = health(CheckSettings { initial_state: init, ..checks() }, now);
        (1..10).find(|_| health.record_check(now, result).is_some()).unwrap()
    };
    assert_eq!(until_change(InitialState::Up, CheckResult::Failed), 1);
    assert_eq!(until_change(InitialState::FullyUp, CheckResult::Failed), 3);
    assert_eq!(until_change(InitialState::Down, CheckResult::Passed), 1);
    assert_eq!(until_change(InitialState::FullyDown, CheckResult::Passed), 2);
}

#[test]
fn failed_sessions_have_the_configured_effect() {
    let now = Instant::now();
    let after_errors = |on_error, errors: usize| {
        let observe = Some(Observe { error_limit: number(10), on_error });
        let mut health = health(CheckSettings { observe, ..checks() }, now);
        for _ in 0..errors {
            health.record_session(now, false);
        }
        (health.is_up(), health.next_check(false).unwrap() - now, health)
    };
    let (up, ..) = after_errors(OnError::FailCheck, 9);
    assert!(up);
    let (up, due, mut once) = after_errors(OnError::FastInter, 10);
    assert!(up && due < SECOND / 2 && once.record_check(now, CheckResult::Failed).is_none());
    let (up, _, mut once) = after_errors(OnError::FailCheck, 10);
    assert!(
        up && once.record_check(now, CheckResult::Failed).is_none()
            && once.record_check(now, CheckResult::Failed) == Some(HealthChange::Down)
    );
    let (up, _, mut once) = after_errors(OnError::SuddenDeath, 10);
    assert!(up && once.record_check(now, CheckResult::Failed) == Some(HealthChange::Down));
    let (up, _, _) = after_errors(OnError::MarkDown, 10);
    assert!(!up);
    let (up, ..) = after_errors(OnError::FailCheck, 30);
    assert!(!up);
}

#[test]
fn a_successful_session_resets_the_error_count() {
    let now = Instant::now();
    let observe = Some(Observe { error_limit: number(2), on_error: OnError::MarkDown });
    let mut health = health(CheckSettings { observe, ..checks() }, now);
    for _ in 0..10 {
        assert_eq!(health.record_session(now, false), None);
        assert_eq!(health.record_session(now, true), None);
    }
}

#[test]
fn successful_sessions_replace_checks_and_a_failed_one_triggers_a_check() {
    let now = Instant::now();
    let mut health = health(CheckSettings { passive: true, ..checks() }, now);
    health.record_session(now + SECOND / 2, true);
    assert_eq!(health.next_check(false), Some(now + SECOND * 5 / 2));
    health.record_session(now + SECOND, false);
    assert_eq!(health.next_check(false), Some(now + SECOND));
    // Several failed sessions trigger one check.
    health.record_check(now + SECOND, CheckResult::Failed);
    health.record_session(now + SECOND, false);
    assert_eq!(health.next_check(false), Some(now + SECOND * 3 / 2));
}

#[test]
fn failed_sessions_do_not_trigger_checks_in_a_row() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.record_session(now, false);
    assert_eq!(health.next_check(false), Some(now + SECOND / 20));
    health.record_check(now + SECOND / 20, CheckResult::Passed);
    health.record_session(now + SECOND / 2, false);
    assert_eq!(health.next_check(false), Some(now + SECOND / 2));
    // After a failed check the usual intervals apply.
    health.record_check(now + SECOND / 2, CheckResult::Failed);
    health.record_session(now + SECOND, false);
    assert_eq!(health.next_check(false), Some(now + SECOND));
    assert!(health.is_up());
}

#[test]
fn a_suspicious_event_triggers_a_check_without_counting_as_a_failure() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    for _ in 0..5 {
        health.expedite_check(now);
    }
    assert!(health.is_up());
    assert_eq!(health.next_check(false), Some(now + SECOND / 2));
}

#[test]
fn a_server_that_sleeps_or_is_in_maintenance_is_not_checked() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.record_check(now, CheckResult::Failed);
    assert_eq!(health.mark_asleep(now + SECOND), None);
    assert_eq!(health.next_check(false), Some(now + SECOND * 3));
    health.set_admin(now, AdminState::Maint);
    assert_eq!((health.next_check(true), health.status()), (None, Status::Maint));
    assert_eq!(health.record_check(now, CheckResult::Failed), None);
    health.set_admin(now, AdminState::Drain);
    assert_eq!((health.status(), health.takes_sessions()), (Status::Drain, false));
    assert!(health.next_check(false).is_some());
    health.set_admin(now, AdminState::Ready);
    assert!(health.takes_sessions());
}

#[test]
fn the_weight_grows_during_the_slow_start() {
    let now = Instant::now();
    let mut health = health(CheckSettings { slowstart: SECOND * 10, ..checks() }, now);
    assert_eq!(health.effective_weight(10, now), 2560);
    assert_eq!(health.force(now, false), Some(HealthChange::Down));
    assert_eq!(health.force(now, true), Some(HealthChange::Up));
    let at = |seconds| health.effective_weight(10, now + SECOND * seconds);
    assert_eq!([at(0), at(1), at(5), at(10), at(11)], [1, 256, 1280, 2560, 2560]);
    assert_eq!(health.effective_weight(0, now + SECOND), 0);
    let throttle = |seconds| health.throttle(now + SECOND * seconds);
    assert_eq!([0, 1, 5, 10].map(throttle), [Some(1), Some(10), Some(50), None]);
}

#[test]
fn a_waiting_session_shortens_the_check_interval() {
    let now = Instant::now();
    let mut health = health(checks(), now);
    health.force(now, false);
    health.record_check(now, CheckResult::Failed);
    assert_eq!(health.next_check(false), Some(now + SECOND * 5));
    assert_eq!(health.next_check(true), Some(now + SECOND / 20));
}
