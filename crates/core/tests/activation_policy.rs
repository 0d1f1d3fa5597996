//! Changes of the policy while the machine runs.

#![expect(clippy::panic, reason = "a test: what fails fails it")]

use std::time::{Duration, Instant};

use dormouse_core::activation::{
    Action, Event, LeaseRefusal, LeaseRequest, LeaseResponse, Policy, Port, State, StateMachine, WaiterId,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(stop_after: u64) -> Policy {
    Policy { stop_after: Some(seconds(stop_after)), minimum_uptime: Duration::ZERO, ..Policy::default() }
}

fn held(machine: &mut StateMachine, port: Port, now: Instant, hold: u64, out: &mut Vec<Action>) -> WaiterId {
    let request = LeaseRequest { port, may_wake: true, hold_timeout: seconds(hold), hold_max: 8 };
    let LeaseResponse::Held(waiter) = machine.request_lease(now, request, out) else { panic!("not held") };
    waiter
}

#[test]
fn a_shorter_idle_time_applies_at_once() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600), begin);
    let port = machine.open_port();
    machine.wake(begin, &mut out);
    machine.event(begin, Event::Ready(port), &mut out);
    out.clear();
    machine.set_policy(begin + seconds(10), policy(20), &mut out);
    assert_eq!((machine.deadline(), out.as_slice()), (Some(begin + seconds(20)), &[][..]));
    machine.set_policy(begin + seconds(11), policy(5), &mut out);
    assert_eq!(out, [Action::Stop], "it is overdue");
}

#[test]
fn each_client_waits_for_its_own_time() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600), begin);
    let (one, other) = (machine.open_port(), machine.open_port());
    let patient = held(&mut machine, one, begin, 30, &mut out);
    let hasty = held(&mut machine, other, begin + seconds(1), 10, &mut out);
    out.clear();
    assert_eq!(machine.deadline(), Some(begin + seconds(11)));
    machine.tick(begin + seconds(11), &mut out);
    machine.tick(begin + seconds(30), &mut out);
    let late = |waiter| Action::Refuse(waiter, LeaseRefusal::HoldTimeout);
    assert_eq!(out, [late(hasty), late(patient)]);
}

#[test]
fn a_port_that_answers_late_keeps_the_others_waiting_no_longer() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(60), begin);
    let (game, console) = (machine.open_port(), machine.open_port());
    let admin = held(&mut machine, console, begin, 300, &mut out);
    let player = held(&mut machine, game, begin, 300, &mut out);
    out.clear();
    machine.event(begin + seconds(1), Event::Ready(game), &mut out);
    assert_eq!(out, [Action::Grant(player)]);
    assert!(machine.is_up(game) && !machine.is_up(console));
    machine.release(begin + seconds(2), game, true, &mut out);
    machine.tick(begin + seconds(200), &mut out);
    assert_eq!(out.len(), 1, "the other port's client keeps it awake");
    machine.event(begin + seconds(201), Event::Ready(console), &mut out);
    assert_eq!(out.last(), Some(&Action::Grant(admin)));
    machine.release(begin + seconds(202), console, true, &mut out);
    machine.tick(begin + seconds(262), &mut out);
    assert_eq!(out.last(), Some(&Action::Stop));
}

/// A client that may not wake the workload may wait for a port of it that does not answer yet. Should the workload end
/// meanwhile, it is not started again for that client.
#[test]
fn a_client_that_may_not_wake_a_workload_is_no_reason_to_start_it_again() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600), begin);
    let (game, console) = (machine.open_port(), machine.open_port());
    machine.wake(begin, &mut out);
    machine.event(begin, Event::Ready(game), &mut out);
    let request = LeaseRequest { port: console, may_wake: false, hold_timeout: seconds(30), hold_max: 8 };
    let LeaseResponse::Held(waiter) = machine.request_lease(begin, request, &mut out) else {
        panic!("not held")
    };
    out.clear();
    machine.event(begin, Event::Exited { failed: false }, &mut out);
    assert_eq!(out, [Action::Refuse(waiter, LeaseRefusal::WakeNotAllowed)]);
    assert_eq!(machine.state(), State::Stopped);
    // With one that may, both get what it starts.
    held(&mut machine, game, begin, 30, &mut out);
    let LeaseResponse::Held(waiter) = machine.request_lease(begin, request, &mut out) else {
        panic!("not held")
    };
    machine.event(begin, Event::Ready(game), &mut out);
    out.clear();
    machine.event(begin, Event::Ready(console), &mut out);
    assert_eq!(out, [Action::Grant(waiter)]);
}

#[test]
fn two_policies_combine_to_the_more_patient_one() {
    let never = Policy { stop_after: None, freeze_after: Some(seconds(5)), ..policy(60) };
    let stop = Policy { freeze_after: Some(seconds(7)), stop_foreign: true, ..policy(90) };
    let both = never.combined(&stop);
    assert_eq!((both.stop_after, both.freeze_after, both.stop_foreign), (None, Some(seconds(7)), false));
    assert_eq!(policy(60).combined(&policy(90)).stop_after, Some(seconds(90)));
}

#[test]
fn a_reset_backoff_allows_a_start_at_once() {
    let (begin, mut out) = (Instant::now(), Vec::new());
    let mut machine = StateMachine::new(policy(600), begin);
    let port = machine.open_port();
    held(&mut machine, port, begin, 30, &mut out);
    machine.event(begin, Event::StartFailed, &mut out);
    assert_eq!(machine.state(), State::Failed);
    machine.reset_backoff(begin, &mut out);
    assert_eq!(machine.state(), State::Stopped);
    out.clear();
    held(&mut machine, port, begin, 30, &mut out);
    assert_eq!(out, [Action::Start]);
    // A running workload has no backoff to reset.
    machine.event(begin, Event::Ready(port), &mut out);
    machine.reset_backoff(begin, &mut out);
    assert_eq!(machine.state(), State::Ready);
}
