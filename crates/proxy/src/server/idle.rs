//! The exit when nobody was connected for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::admission::Pool;

/// Waits until no session was open for so long, from the start on. A limit of zero means "right after the last
/// session", so it does not run before the first.
pub async fn idle_exit(limit: Option<Duration>, pool: &Pool) {
    let Some(limit) = limit else { return std::future::pending().await };
    if limit.is_zero() {
        pool.became_idle().await;
    }
    loop {
        while pool.open() > 0 {
            pool.became_idle().await;
        }
        let Some(deadline) = Instant::now().checked_add(limit) else { return std::future::pending().await };
        tokio::select! {
            // A session came and went: the silence begins anew.
            () = pool.became_idle() => {}
            () = sleep_until(deadline) => {
                if pool.open() == 0 {
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
    async fn runs_from_the_start_and_anew_after_each_session() {
        let pool = Pool::new(256);
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &pool);
        let start = Instant::now();
        idle_exit(Some(LIMIT), &pool).await;
        assert_eq!(start.elapsed().as_secs(), 10);

        let start = Instant::now();
        let permit = admission.enter();
        let later = async {
            tokio::time::sleep(LIMIT * 5).await;
            drop(permit);
        };
        tokio::join!(later, idle_exit(Some(LIMIT), &pool));
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_waits_for_the_first_session() {
        let pool = Pool::new(256);
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &pool);
        let start = Instant::now();
        let visit = async {
            tokio::time::sleep(LIMIT).await;
            drop(admission.enter());
        };
        tokio::join!(visit, idle_exit(Some(Duration::ZERO), &pool));
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
