//! A process without a descriptor to spare. A test of its own: the limit is the whole process's.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{End, Kind, Limits, Operation, Pipes, Relay, Side, Stream};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn descriptors_that_cannot_be_taken_do_not_vanish_silently() {
    let stream = |socket: UnixStream| {
        socket.set_nonblocking(true).unwrap();
        Stream::new(socket.into(), Kind::Unix, true).unwrap()
    };
    let (client, downstream) = UnixStream::pair().unwrap();
    let (_server, upstream) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    assert_eq!(sendmsg(&client, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap(), 1);
    (&client).write_all(b"more").unwrap();
    let (limits, pipes) = (Arc::new(Limits::default()), Pipes::new(64));
    let relay = Relay::new(stream(downstream), stream(upstream), Vec::new(), limits, pipes);
    let before = getrlimit(Resource::Nofile);
    let most = u64::try_from(file.as_raw_fd()).unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: before.maximum }).unwrap();
    let report = tokio::time::timeout(Duration::from_secs(20), relay).await;
    setrlimit(Resource::Nofile, before).unwrap();
    let (side, operation, error) = (Side::Downstream, Operation::Read, Errno::MFILE);
    assert_eq!(report.unwrap().end, End::Failed { side, operation, error });
}
