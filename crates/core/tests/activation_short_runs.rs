//! Runs that end as soon as they are ready.

#![expect(clippy::panic, reason = "a test: what fails fails it")]

use std::time::{Duration, Instant};

use dormouse_core::activation::{
    Action, Event, LeaseRefusal, LeaseRequest, LeaseResponse, Policy, Port, State, StateMachine, WaiterId,
};

/// The runs that are followed by a start at once.
const BURST: u32 = 5;

struct Bench {
    machine: StateMachine,
    port: Port,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let mut machine = StateMachine::new(Policy::default(), now);
        Self { port: machine.open_port(), machine, now }
    }

    fn client(&mut self) -> (LeaseResponse, Vec<Action>) {
        let mut out = Vec::new();
        let hold_timeout = Duration::from_secs(30);
        let request = LeaseRequest { port: self.port, may_wake: true, hold_timeout, hold_max: 8 };
        (self.machine.request_lease(self.now, request, &mut out), out)
    }

    fn held(&mut self) -> (WaiterId, Vec<Action>) {
        match self.client() {
            (LeaseResponse::Held(waiter), out) => (waiter, out),
            other => panic!("{other:?}, {:?}", self.machine),
        }
    }

    /// A client wakes the workload, which ends after this time.
    fn run(&mut self, lasted: Duration, served: bool, failed: bool) {
        let (_, out) = self.held();
        assert_eq!(out, [Action::Start]);
        self.event(Event::Ready(self.port));
        self.now += lasted;
        let mut out = Vec::new();
        if served {
            self.machine.mark_served(self.now, &mut out);
        }
        self.machine.release(self.now, self.port, true, &mut out);
        assert_eq!(out, []);
        self.event(Event::Exited { failed });
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.event(self.now, event, &mut out);
        out
    }

    fn advance(&mut self, by: Duration) -> Vec<Action> {
        self.now += by;
        let mut out = Vec::new();
        self.machine.tick(self.now, &mut out);
        out
    }
}

const MOMENT: Duration = Duration::from_millis(5);

fn paused(failed: bool) -> Bench {
    let mut bench = Bench::new();
    for _ in 0..BURST {
        bench.run(MOMENT, false, failed);
        assert_eq!(bench.machine.state(), State::Stopped);
    }
    bench.run(MOMENT, false, failed);
    bench
}

#[test]
fn runs_that_serve_nobody_are_followed_by_a_pause_in_which_clients_are_held() {
    for failed in [false, true] {
        let mut bench = paused(failed);
        assert_eq!(bench.machine.state(), State::Failed);
        assert!(bench.machine.pause().is_some_and(|pause| pause.is_first && pause.runs == BURST + 1));
        let (_, out) = bench.held();
        assert_eq!(out, []);
        assert_eq!(bench.machine.deadline(), Some(bench.now + Duration::from_secs(1)));
        assert_eq!(bench.advance(Duration::from_millis(999)), []);
        assert_eq!(bench.advance(Duration::from_millis(1)), [Action::Start]);
        // The next pause is longer, and they do not grow without end.
        let mut pauses = Vec::new();
        for _ in 0..5 {
            bench.event(Event::Ready(bench.port));
            bench.event(Event::Exited { failed });
            assert!(bench.machine.pause().is_some_and(|pause| !pause.is_first));
            let (_, out) = bench.held();
            assert_eq!(out, []);
            let until = bench.machine.deadline().unwrap_or(bench.now);
            pauses.push((until - bench.now).as_secs());
            assert_eq!(bench.advance(until - bench.now), [Action::Start]);
        }
        assert_eq!(pauses, [2, 4, 8, 10, 10]);
    }
}

#[test]
fn a_program_that_serves_one_client_a_run_is_never_paused() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.run(MOMENT, true, false);
    }
    assert_eq!(bench.machine.state(), State::Stopped);
}

#[test]
fn a_longer_run_begins_a_new_count() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        for _ in 0..BURST {
            bench.run(MOMENT, false, true);
        }
        bench.run(Duration::from_secs(1), false, true);
    }
    assert_eq!(bench.machine.state(), State::Stopped);
}

/// The end of the session may be noticed after the end of the run.
#[test]
fn a_client_that_was_served_ends_the_pause() {
    let mut bench = paused(false);
    let (_, mut out) = bench.held();
    bench.machine.mark_served(bench.now, &mut out);
    assert_eq!((out.as_slice(), bench.machine.state()), (&[Action::Start][..], State::Starting));
    bench.event(Event::Ready(bench.port));
    bench.event(Event::Exited { failed: false });
    assert_eq!(bench.machine.state(), State::Stopped);
}

#[test]
fn a_start_that_fails_after_a_pause_takes_the_usual_backoff() {
    let mut bench = paused(false);
    let (waiter, _) = bench.held();
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.event(Event::StartFailed), [Action::Refuse(waiter, LeaseRefusal::StartFailed)]);
    assert_eq!(bench.machine.pause(), None);
    assert_eq!(bench.client().0, LeaseResponse::Refused(LeaseRefusal::Backoff));
}

#[test]
fn a_workload_that_is_kept_warm_is_not_restarted_without_a_pause() {
    let mut bench = Bench::new();
    let mut out = Vec::new();
    bench.machine.set_keep_warm(bench.now, true, &mut out);
    for _ in 0..BURST {
        bench.event(Event::Ready(bench.port));
        assert_eq!(bench.event(Event::Exited { failed: false }), [Action::Start]);
    }
    bench.event(Event::Ready(bench.port));
    assert_eq!(bench.event(Event::Exited { failed: false }), []);
    assert_eq!(bench.advance(Duration::from_secs(1)), [Action::Start]);
}
