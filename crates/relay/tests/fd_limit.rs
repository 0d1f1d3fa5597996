//! A process at its limit on descriptors. A test binary of its own, because the limit applies to the whole process.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "relay/descriptor.rs"]
mod descriptor;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{End, Limits, Operation, Pipes, Relay, Side, Stream, StreamKind};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::descriptor::send_with_descriptor;

#[tokio::test]
async fn a_descriptor_that_cannot_be_received_fails_the_session() {
    let stream = |socket: UnixStream| {
        socket.set_nonblocking(true).unwrap();
        Stream::new(socket.into(), StreamKind::Unix, true).unwrap()
    };
    let (client, downstream) = UnixStream::pair().unwrap();
    let (_server, upstream) = UnixStream::pair().unwrap();
    send_with_descriptor(&client, b"x");
    (&client).write_all(b"more").unwrap();
    let (limits, pipes) = (Arc::new(Limits::default()), Pipes::new(64));
    let relay = Relay::new(stream(downstream), stream(upstream), Vec::new(), limits, pipes);
    let before = getrlimit(Resource::Nofile);
    let free = std::fs::File::open("/dev/null").unwrap();
    let most = u64::try_from(free.as_raw_fd()).unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: before.maximum }).unwrap();
    let report = tokio::time::timeout(Duration::from_secs(20), relay).await;
    setrlimit(Resource::Nofile, before).unwrap();
    let (side, operation, error) = (Side::Downstream, Operation::Read, Errno::MFILE);
    assert_eq!(report.unwrap().end, End::Failed { side, operation, error });
}
