//! Points in time.

use std::time::{Duration, Instant};

/// A point so far from another; what the clock cannot hold is as good as for ever.
pub(crate) fn saturating_add(from: Instant, span: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(span.min(FOREVER)).unwrap_or(from)
}
