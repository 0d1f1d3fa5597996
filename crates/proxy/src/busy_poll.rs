//! Staying awake between events that come close together.
//!
//! A process that sleeps for 20 µs pays more for falling asleep and being woken than for the wait itself. So after an
//! event the loop looks for the next one a few times before it sleeps, but only as long as that was worth it lately,
//! and never for long: what KVM does for its guests (`halt_poll_ns`, Documentation/virt/kvm/halt-polling.rst) and the
//! haltpoll governor inside them. Traffic with pauses longer than 50 µs is never waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::sched_yield;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// The longest look-out, and so the most CPU time that an event can cost in vain.
const MAX_WINDOW: Duration = Duration::from_micros(50);
/// The first look-out.
const MIN_WINDOW: Duration = Duration::from_micros(10);

/// What the one event loop of the process has met.
static EVENTS: Events =
    Events { seen: AtomicU64::new(0), asleep: AtomicBool::new(false), wake: Notify::const_new() };

struct Events {
    seen: AtomicU64,
    asleep: AtomicBool,
    wake: Notify,
}

/// To be told of each event of a session.
pub fn record_event() {
    EVENTS.seen.store(EVENTS.seen.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    if EVENTS.asleep.load(Ordering::Relaxed) {
        EVENTS.asleep.store(false, Ordering::Relaxed);
        EVENTS.wake.notify_one();
    }
}

/// Keeps the event loop looking while events come close together. Never ends.
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

/// Whether an event came within this time.
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
        // Whoever is to answer may wait for this very processor.
        sched_yield();
    }
}
