//! Changes of the policy while the machine runs.

#![expect(clippy::panic, reason = "a test: what fails fails it")]

use std::time::{Duration, Instant};

use dormouse_core::activation::{
    Action, Event, LeaseRefusal, LeaseResponse, Policy, State, StateMachine, WaiterId,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(stop_after: u64, hold: u64) -> Policy {
    Policy {
        stop_after: Some(seconds(stop_after)),
        hold_timeout: seconds(hold),
        minimum_uptime: Duration::ZERO,
        ..Policy::default()
    }
}

fn held(machine: &mut StateMachine, now: Instant, out: &mut Vec<Action>) -> WaiterId {
    let LeaseResponse::Held(waiter) = machine.request_lease(now, true, out) else { panic!("not held") };
    waiter
}

#[test]
fn a_shorter_idle_time_applies_at_once() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600, 30), begin);
    machine.wake(begin, &mut out);
    machine.event(begin, Event::Ready, &mut out);
    out.clear();
    machine.set_policy(begin + seconds(10), policy(20, 30), &mut out);
    assert_eq!((machine.deadline(), out.as_slice()), (Some(begin + seconds(20)), &[][..]));
    machine.set_policy(begin + seconds(11), policy(5, 30), &mut out);
    assert_eq!(out, [Action::Stop], "it is overdue");
}

#[test]
fn held_clients_keep_their_deadline_and_later_clients_wait_at_least_as_long() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600, 30), begin);
    let first = held(&mut machine, begin, &mut out);
    machine.set_policy(begin, policy(600, 10), &mut out);
    let second = held(&mut machine, begin + seconds(1), &mut out);
    out.clear();
    machine.tick(begin + seconds(29), &mut out);
    assert_eq!(out, []);
    machine.tick(begin + seconds(30), &mut out);
    let late = |waiter| Action::Refuse(waiter, LeaseRefusal::HoldTimeout);
    assert_eq!(out, [late(first), late(second)]);
}

#[test]
fn a_reset_backoff_allows_a_start_at_once() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600, 30), begin);
    held(&mut machine, begin, &mut out);
    machine.event(begin, Event::StartFailed, &mut out);
    assert_eq!(machine.state(), State::Failed);
    machine.reset_backoff(begin, &mut out);
    assert_eq!(machine.state(), State::Stopped);
    out.clear();
    held(&mut machine, begin, &mut out);
    assert_eq!(out, [Action::Start]);
    // A running workload has no backoff to reset.
    machine.event(begin, Event::Ready, &mut out);
    machine.reset_backoff(begin, &mut out);
    assert_eq!(machine.state(), State::Ready);
}
