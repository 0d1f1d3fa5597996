//! Busy polling between events that follow each other closely.
//!
//! A sleep of 20 µs costs more than the wait itself. So after an event the loop polls for the next one before it sleeps,
//! if that was worth it recently, and never for long: what KVM does for its guests (`halt_poll_ns`, Documentation/virt/kvm/halt-polling.rst) and the
//! haltpoll governor inside them. Traffic with pauses longer than 50 µs is never polled for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::sched_yield;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// The longest polling window, which bounds the CPU time that an event can waste.
const MAX_WINDOW: Duration = Duration::from_micros(50);
/// The first polling window.
const MIN_WINDOW: Duration = Duration::from_micros(10);

/// The events of the process's event loop.
static EVENTS: Events =
    Events { seen: AtomicU64::new(0), asleep: AtomicBool::new(false), wake: Notify::const_new() };

struct Events {
    seen: AtomicU64,
    asleep: AtomicBool,
    wake: Notify,
}

/// Records an event of a session.
pub fn record_event() {
    EVENTS.seen.store(EVENTS.seen.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    if EVENTS.asleep.load(Ordering::Relaxed) {
        EVENTS.asleep.store(false, Ordering::Relaxed);
        EVENTS.wake.notify_one();
    }
}

/// Polls for events while they follow each other closely. Never returns.
pub async fn run() {
    let mut window = Duration::ZERO;
    loop {
        let slept = Instant::now();
        EVENTS.asleep.store(true, Ordering::Relaxed);
        EVENTS.wake.notified().await;
        window = match slept.elapsed() {
            pause if pause > MAX_WINDOW => Duration::ZERO,
            pause if pause > window => (window * 2).clamp(MIN_WINDOW, MAX_WINDOW),
            _ => window,
        };
        while poll_for_event(window).await {}
    }
}

/// Polls for this time and returns whether an event came.
async fn poll_for_event(window: Duration) -> bool {
    if window.is_zero() {
        return false;
    }
    let (seen, since) = (EVENTS.seen.load(Ordering::Relaxed), Instant::now());
    loop {
        yield_now().await;
        if EVENTS.seen.load(Ordering::Relaxed) != seen {
            return true;
        }
        if since.elapsed() >= window {
            return false;
        }
        // The process that sends the next event may need this processor.
        sched_yield();
    }
}
