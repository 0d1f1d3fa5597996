//! The exit after a time without sessions.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::admission::FdLimits;

/// Waits until no session was open for `limit`, counted from the start. A limit of zero means "right after the last
/// session", so it does not end before the first one.
pub async fn idle_exit(limit: Option<Duration>, fd_limits: &FdLimits) {
    let Some(limit) = limit else { return std::future::pending().await };
    if limit.is_zero() {
        fd_limits.became_idle().await;
    }
    loop {
        while fd_limits.open() > 0 {
            fd_limits.became_idle().await;
        }
        let Some(deadline) = Instant::now().checked_add(limit) else { return std::future::pending().await };
        tokio::select! {
            // A session came and went: the time starts again.
            () = fd_limits.became_idle() => {}
            () = sleep_until(deadline) => {
                if fd_limits.open() == 0 {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Admission;
    use dormouse_config::limit::{AtLimit, Cap};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn counts_from_the_start_and_after_each_session() {
        let fd_limits = FdLimits::new(256);
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &fd_limits);
        let start = Instant::now();
        idle_exit(Some(LIMIT), &fd_limits).await;
        assert_eq!(start.elapsed().as_secs(), 10);

        let start = Instant::now();
        let permit = admission.admit();
        let later = async {
            tokio::time::sleep(LIMIT * 5).await;
            drop(permit);
        };
        tokio::join!(later, idle_exit(Some(LIMIT), &fd_limits));
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_waits_for_the_first_session() {
        let fd_limits = FdLimits::new(256);
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &fd_limits);
        let start = Instant::now();
        let visit = async {
            tokio::time::sleep(LIMIT).await;
            drop(admission.admit());
        };
        tokio::join!(visit, idle_exit(Some(Duration::ZERO), &fd_limits));
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
