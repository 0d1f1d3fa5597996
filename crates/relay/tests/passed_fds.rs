//! The limit for passed descriptors that sessions hold. A test binary of its own, because the limit applies to the whole
//! process.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "relay/descriptor.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod descriptor;

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_relay::{End, Limits, Operation, Pipes, Relay, Side, Stream, StreamKind, set_passed_fds_limit};
use dormouse_sys::closer;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::sync::Mutex;

use crate::descriptor::send_with;

/// Each test has a limit of its own.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until what earlier sessions had is closed, because it counts, and sets the limit.
async fn set_limit(limit: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while closer::waiting() > 0 {
        assert!(Instant::now() < deadline, "{} descriptors are not closed", closer::waiting());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    set_passed_fds_limit(limit);
}

/// The sink of each session takes nothing, so each could hold the descriptors that come.
#[tokio::test]
async fn sessions_hold_no_more_descriptors_than_the_limit() {
    const LIMIT: usize = 40;
    const EACH: usize = 15;

    let _alone = ALONE.lock().await;
    set_limit(LIMIT).await;
    let path = std::env::temp_dir().join(format!("dormouse-passed-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    let fds = vec![file.as_fd(); EACH];
    let count = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        let copies = all.filter(|entry| {
            std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|target| target == path)
        });
        copies.count() - 1
    };
    let (mut sessions, mut ended) = (Vec::new(), 0);
    for _ in 0..6 {
        let ((client, downstream), (server, upstream)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        upstream.set_nonblocking(true).unwrap();
        while (&upstream).write(&[0; 4096]).is_ok() {}
        assert_eq!(send_with(&client, b"x", &fds, SendFlags::empty()), Ok(1));
        (&client).write_all(b"more").unwrap();
        let (limits, pipes) = (Arc::new(Limits::default()), Pipes::new(64));
        let relay = Relay::new(stream(downstream), stream(upstream), Vec::new(), limits, pipes);
        sessions.push((tokio::spawn(relay), client, server));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(count() <= LIMIT, "{}", count());
    }
    // The first two hold theirs. Then sessions look before they read, and leave theirs in the socket.
    assert_eq!(count(), 2 * EACH);
    // They are scarce, so the first session ends with its client, although its server reads nothing.
    let (first, client, _server) = sessions.remove(0);
    drop(client);
    let end = tokio::time::timeout(Duration::from_secs(20), first).await.unwrap().unwrap().end;
    assert_eq!(end, End::Gone(Side::Downstream));
    for (session, client, server) in sessions {
        drop((client, server));
        let end = tokio::time::timeout(Duration::from_secs(20), session).await.unwrap().unwrap().end;
        ended += usize::from(matches!(end, End::Gone(_) | End::Reset(_)));
    }
    assert_eq!(ended, 5);
    let deadline = Instant::now() + Duration::from_secs(20);
    while count() > 0 {
        assert!(Instant::now() < deadline, "{} are left", count());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::fs::remove_file(&path).unwrap();
}

fn stream(socket: UnixStream) -> Stream {
    socket.set_nonblocking(true).unwrap();
    Stream::new(socket.into(), StreamKind::Unix, true).unwrap()
}

/// There is room for the bytes, but not for the descriptors.
#[tokio::test]
async fn descriptors_beyond_the_limit_end_their_session_alone() {
    let _alone = ALONE.lock().await;
    set_limit(3).await;
    let relay = |count: usize| {
        let (client, downstream) = UnixStream::pair().unwrap();
        let (server, upstream) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        (&client).write_all(b"before").unwrap();
        if count > 0 {
            assert_eq!(send_with(&client, b"x", &vec![file.as_fd(); count], SendFlags::empty()), Ok(1));
        }
        drop(client);
        let (limits, pipes) = (Arc::new(Limits::default()), Pipes::new(64));
        let relay = Relay::new(stream(downstream), stream(upstream), Vec::new(), limits, pipes);
        let ended = tokio::time::timeout(Duration::from_secs(20), relay);
        async move {
            // The peer ends its stream, too.
            server.shutdown(Shutdown::Write).unwrap();
            ended.await.unwrap().end
        }
    };
    assert_eq!(relay(0).await, End::Finished);
    assert_eq!(relay(3).await, End::Finished);
    let (side, operation, error) = (Side::Downstream, Operation::Read, Errno::MFILE);
    assert_eq!(relay(4).await, End::Failed { side, operation, error });
    assert_eq!(relay(0).await, End::Finished);
}
