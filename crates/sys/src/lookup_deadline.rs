//! A deadline for questions to the databases of users and groups. Their sources (nsswitch.conf(5)) may be in the network, and
//! the C library sets no limit.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// The time for one question. A start or a reload fails then, before the service manager ends it.
const LIMIT: Duration = Duration::from_secs(20);

/// The questions that are not answered since their deadline. While there is one no other is asked, because it would wait,
/// too.
static UNANSWERED: AtomicUsize = AtomicUsize::new(0);

/// Asks a question in a thread, and waits for the answer.
///
/// # Errors
/// Those of the question, and when there is no answer in time, now or to an earlier question.
pub(crate) fn within_limit<T: Send + 'static>(
    ask: impl Fn() -> io::Result<T> + Clone + Send + 'static,
) -> io::Result<T> {
    within(LIMIT, &UNANSWERED, ask)
}

fn within<T: Send + 'static>(
    limit: Duration,
    unanswered: &'static AtomicUsize,
    ask: impl Fn() -> io::Result<T> + Clone + Send + 'static,
) -> io::Result<T> {
    if unanswered.load(Ordering::Relaxed) > 0 {
        return Err(timed_out("an earlier question to it has no answer yet"));
    }
    // Without a buffer, so that an answer that comes late is not sent.
    let (sender, receiver) = sync_channel(0);
    let asking = ask.clone();
    let thread = move || {
        if sender.send(asking()).is_err() {
            unanswered.fetch_sub(1, Ordering::Relaxed);
        }
    };
    if Builder::new().name("users".to_owned()).spawn(thread).is_err() {
        // Without threads there is no deadline, but an answer.
        return ask();
    }
    match receiver.recv_timeout(limit) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            // Before the receiver is dropped.
            unanswered.fetch_add(1, Ordering::Relaxed);
            Err(timed_out(&format!("it did not answer within {} s", limit.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread ended")),
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what}; check its sources in /etc/nsswitch.conf"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    #[test]
    fn a_database_that_hangs_is_an_error_and_is_asked_again_when_it_answers() {
        static UNANSWERED: AtomicUsize = AtomicUsize::new(0);
        const SOON: Duration = Duration::from_secs(60);
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let hang = move || {
            let _ = released.lock().unwrap().recv();
            Ok(1)
        };
        let error = within(Duration::from_millis(1), &UNANSWERED, hang).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("it did not answer within 0 s; check its sources"), "{error}");
        // No second thread waits.
        let error = within(SOON, &UNANSWERED, || Ok(2)).unwrap_err();
        assert!(error.to_string().starts_with("an earlier question"), "{error}");
        drop(release);
        let deadline = Instant::now() + SOON;
        while UNANSWERED.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "the thread does not end");
            std::thread::yield_now();
        }
        assert_eq!(within(SOON, &UNANSWERED, || Ok(3)).unwrap(), 3);
    }

    #[test]
    fn the_error_of_a_question_is_passed_on() {
        let failed = within_limit(|| Err::<(), _>(io::Error::from_raw_os_error(libc::EIO)));
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
