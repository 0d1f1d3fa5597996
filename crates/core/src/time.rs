//! Arithmetic with points in time.

use std::time::{Duration, Instant};

/// Adds a span to a point in time. A span that the clock cannot represent becomes thirty years, which is practically
/// forever.
pub(crate) fn saturating_add(from: Instant, span: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(span.min(FOREVER)).unwrap_or(from)
}
