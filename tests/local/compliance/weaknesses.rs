//! The measured weaknesses of systemd-socket-proxyd: each case shows one there and its absence in dormouse.
//!
//! Other sections contain some of them: waiting for a backend, first address, brackets, impossible targets
//! (`target`); the session limit (`accept`); the idle timer at the start (`idle`); drain, SIGPIPE (`lifecycle`);
//! resets (`forwarding`). The benchmarks measure throughput, the rate of accepts and the use of cores.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use dormouse_tests::cpu::{self, Idling};
use dormouse_tests::failure::Doing;
use dormouse_tests::process::raise_own_nofile;
use dormouse_tests::wait::{Deadline, LIMIT, SOON};
use dormouse_tests::{
    Failure, Family, Launch, Listener, Result, Running, Stream, Subject, messages, scaled, wait,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::case::Expect::{ChangedAndDiffers, Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, Rig, end_limit, exchange};

/// The descriptors for a few sessions: a multiple of the six or eight that systemd-socket-proxyd needs for each.
const SESSION_DESCRIPTORS: usize = 24;

/// The number of peers that read nothing.
const READERS: usize = scaled(4, 20);

/// A user without other processes.
const UNUSED_UID: u32 = 54_321;

cases! {
    #[alone] slow_reader_unix: "readers that read nothing, 1-byte writes, UNIX to UNIX" => Differs {
        difference: "slow-readers",
        socket_proxyd: "spins",
        dormouse: "rests",
    }, |s| {
        let rig = Plan::new(s).between(Family::Unix, Family::Unix).start()?;
        slow_readers(&rig, READERS, 1)
    };
    #[alone] slow_reader_tcp: "readers that read nothing, 100-byte writes, TCP to TCP" => Differs {
        difference: "slow-readers",
        socket_proxyd: "spins",
        dormouse: "rests",
    }, |s| {
        let rig = Plan::new(s).between(Family::Tcp4, Family::Tcp4).start()?;
        rig.front.options().set_recv_buffer_size(1 << 16).doing(|| "set SO_RCVBUF".to_owned())?;
        rig.back.options().set_recv_buffer_size(1 << 16).doing(|| "set SO_RCVBUF".to_owned())?;
        slow_readers(&rig, READERS, 100)
    };
    #[alone] out_of_descriptors: "a low limit of descriptors and many clients" => Differs {
        difference: "out-of-descriptors",
        socket_proxyd: "spins and floods the log",
        dormouse: "rests and a line or two in the log; serves again when descriptors are free",
    }, |s| {
        // The limit leaves exactly this many descriptors in addition to those that the program needs itself.
        let plan = || Plan::new(s).between(Family::Unix, Family::Unix);
        let rig = plan().start()?;
        let session = rig.session()?;
        exchange(&session.0, &session.1)?;
        let limit = (rig.subject.descriptors()?.len() + SESSION_DESCRIPTORS) as u64;
        out_of_descriptors(&plan().launch(|l| l.nofile(limit, limit)).start()?, s, None)
    };
    #[alone] descriptors_taken_away: "the limit of descriptors is lowered, and clients queue" => Differs {
        difference: "out-of-descriptors",
        socket_proxyd: "spins and floods the log",
        dormouse: "rests and a line or two in the log; serves again when descriptors are free",
    }, |s| {
        let rig = Plan::new(s).between(Family::Unix, Family::Unix).start()?;
        let session = rig.session()?;
        exchange(&session.0, &session.1)?;
        let limit = (rig.subject.descriptors()?.len() + SESSION_DESCRIPTORS) as u64;
        rig.subject.limit_nofile(limit)?;
        let end = out_of_descriptors(&rig, s, Some(limit))?;
        if s == Subject::Dormouse {
            // tests/local/control/descriptor_limit.rs relies on this text.
            rig.subject.stderr().wait_for(messages::CANNOT_ACCEPT, SOON)?;
        }
        drop(session);
        Ok(end)
    };
    soft_limit: "256 sessions under a soft limit of 1024 descriptors" => ChangedAndDiffers {
        difference: "soft-limit",
        v252: "169 of 256 served",
        v261: "* of 256 served",
        dormouse: "all served",
    }, soft_limit;
    #[alone] nagle: "write, write, read" => Differs {
        difference: "socket-options",
        socket_proxyd: "delayed",
        dormouse: "prompt",
    }, nagle;
    #[alone] nagle_of_the_server: "a server answers in two writes" => Same("prompt"), nagle_of_the_server;
    #[alone] pipe_pages: "the smallest pipe of 160 sessions without privileges" => Differs {
        difference: "no-idle-pipes",
        socket_proxyd: "8192 bytes",
        dormouse: "no pipe",
    }, smallest_pipe;

    connect_timeout: "a backend that does not answer SYN" => Differs {
        difference: "timeouts",
        socket_proxyd: "still waiting",
        dormouse: "dropped",
    }, |s| {
        let back = Listener::with_backlog(Family::Tcp4, 0)?;
        let _full = fill_queue(&back)?;
        let plan = Plan::new(s).dormouse_args(["--wait=0", "--connect-timeout=300ms"]);
        let rig = plan.start_before(back)?;
        let client = rig.client()?;
        Ok(if client.ended_within(end_limit(s))?.is_some() { "dropped" } else { "still waiting" }.to_owned())
    };
    idle_session: "a session without data" => Differs {
        difference: "timeouts",
        socket_proxyd: "left open",
        dormouse: "ended",
    }, |s| {
        let rig = Plan::new(s).dormouse_args(["--idle-timeout=300ms"]).start()?;
        let (client, server) = rig.session()?;
        exchange(&client, &server)?;
        Ok(if client.ended_within(end_limit(s))?.is_some() { "ended" } else { "left open" }.to_owned())
    };
    half_open: "the client has ended its stream, and the server never does" => ChangedAndDiffers {
        difference: "timeouts",
        v252: "ended at once",
        v261: "left open",
        dormouse: "ended after the half-close time",
    }, half_open;
    unix_backlog: "four clients of a UNIX backend with a queue of one" => Differs {
        difference: "full-unix-backlog",
        socket_proxyd: "1 of 4 served",
        dormouse: "4 of 4 served",
    }, unix_backlog;
    resolver_threads: "the threads for a literal address" => Differs {
        difference: "no-resolver-for-literals",
        socket_proxyd: "more than before",
        dormouse: "as before",
    }, resolver_threads;
    side_channel: "a descriptor sent over the session, UNIX to UNIX" => Differs {
        difference: "side-channels",
        socket_proxyd: "lost",
        dormouse: "arrived",
    }, side_channel;
}

fn slow_readers(rig: &Rig, count: usize, chunk: usize) -> Result<String> {
    let sessions = (0..count).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    for (client, _) in &sessions {
        if chunk > 1 {
            client.options().set_tcp_nodelay(true).doing(|| "set TCP_NODELAY".to_owned())?;
            client.options().set_send_buffer_size(1 << 14).doing(|| "set SO_SNDBUF".to_owned())?;
        }
    }
    let clients: Vec<_> = sessions.iter().map(|(client, _)| client).collect();
    fill(&rig.subject, &clients, &vec![b'x'; chunk])?;
    idling(&rig.subject)
}

/// Sends until no stream accepts a byte although the program had the opportunity to forward some.
fn fill(subject: &Running, streams: &[&Stream], chunk: &[u8]) -> Result<()> {
    let deadline = Deadline::after(LIMIT * 4);
    let mut full_passes = 0;
    while full_passes < 3 {
        full_passes += 1;
        for stream in streams {
            while stream.send_nonblocking(chunk)? > 0 {
                full_passes = 0;
            }
        }
        cpu::reacted(subject.pid()).map_err(|failure| subject.with_log(&failure))?;
        deadline.left(|| "full buffers".to_owned())?;
    }
    Ok(())
}

fn idling(subject: &Running) -> Result<String> {
    Ok(match subject.idling()? {
        Idling::Sleeps => "rests",
        Idling::Spins => "spins",
    }
    .to_owned())
}

fn out_of_descriptors(rig: &Rig, subject: Subject, mut limit: Option<u64>) -> Result<String> {
    const CLIENTS: u8 = 60;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = rig.client()?;
        client.send(&[number], SOON)?;
        clients.push(Some(client));
    }
    // The program accepts all clients that fit, says that it cannot accept more, and pauses.
    let mut open = Vec::new();
    wait::until("a line in the log", SOON, || {
        while rig.back.has_pending(A_WHILE)? {
            open.push(rig.back.accept(SOON)?);
        }
        let found = (rig.subject.stderr().line_count() > 0).then_some(());
        if let (None, Subject::Dormouse, Some(limit)) = (found, subject, &mut limit) {
            // With one descriptor left a client is held, in silence, until there is one more for its server: a spare one was
            // counted, and closed to make room.
            *limit += 1;
            rig.subject.limit_nofile(*limit)?;
        }
        Ok(found)
    })?;
    let cpu = idling(&rig.subject)?;
    let log = match rig.subject.stderr().line_count() {
        1..=2 => "a line or two in the log".to_owned(),
        1000.. => "floods the log".to_owned(),
        lines => format!("{lines} lines in the log"),
    };
    let state = format!("{cpu} and {log}");
    if subject == Subject::SocketProxyd {
        return Ok(state);
    }
    // Each session that ends frees its descriptors for the next, until all have been served.
    let mut served = 0;
    for _ in 0..CLIENTS {
        let end = match open.pop() {
            Some(first) => first,
            None => rig.back.accept(SOON).map_err(|failure| rig.subject.with_log(&failure))?,
        };
        let number = end.receive(1, SOON)?.first().copied().unwrap_or(CLIENTS);
        served += u8::from(clients.get_mut(usize::from(number)).and_then(Option::take).is_some());
    }
    Ok(if served == CLIENTS { format!("{state}; serves again when descriptors are free") } else { state })
}

fn soft_limit(subject: Subject) -> Result<String> {
    const CLIENTS: usize = 256;
    raise_own_nofile(4096)?;
    let plan = Plan::new(subject).between(Family::Tcp4, Family::Tcp4);
    let rig = plan.launch(|l| l.nofile(1024, 4096)).start()?;
    let served = rig.served_of(CLIENTS)?;
    Ok(if served == CLIENTS { "all served".to_owned() } else { format!("{served} of {CLIENTS} served") })
}

/// Sends a small message in two writes and waits for the answer: Nagle's algorithm holds the second write back
/// until the first is acknowledged, which the receiver delays.
fn nagle(subject: Subject) -> Result<String> {
    const ROUNDS: usize = scaled(11, 21);
    let rig = Plan::new(subject).start()?;
    let (client, server) = rig.session()?;
    client.options().set_tcp_nodelay(true).doing(|| "set TCP_NODELAY".to_owned())?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        client.send(b"head", SOON)?;
        // The program must forward the first write before the second arrives.
        server.receive(4, SOON)?;
        client.send(b"one", SOON)?;
        client.send(b"two", SOON)?;
        server.receive(6, SOON)?;
        server.send(b"answer", SOON)?;
        client.receive(6, SOON)?;
        times.push(begun.elapsed());
    }
    Ok(promptness(times))
}

fn promptness(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    // Delayed acknowledgements cost 40 ms in every exchange. A busy machine delays some exchanges, but not the
    // fastest quarter.
    let quick = times.get(times.len() / 4).copied().unwrap_or_default();
    if quick.as_millis() < 30 { "prompt".to_owned() } else { "delayed".to_owned() }
}

/// A server with Nagle's algorithm answers the first request of a session in two writes. The second waits for the
/// acknowledgement of the first, which a proxy must not delay.
fn nagle_of_the_server(subject: Subject) -> Result<String> {
    const ROUNDS: usize = 11;
    let rig = Plan::new(subject).start()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let client = rig.client()?;
        client.send(b"request", SOON)?;
        let server = rig.back.accept(SOON)?;
        server.receive(7, SOON)?;
        let begun = Instant::now();
        server.send(b"head", SOON)?;
        server.send(b"body", SOON)?;
        client.receive(8, SOON)?;
        times.push(begun.elapsed());
    }
    Ok(promptness(times))
}

fn smallest_pipe(subject: Subject) -> Result<String> {
    const SESSIONS: usize = 160;
    raise_own_nofile(4096)?;
    // The kernel counts the pages of pipes for each user: systemd-socket-proxyd needs its own user.
    let launch = |launch: Launch| match subject {
        Subject::SocketProxyd => launch.uid(UNUSED_UID),
        Subject::Dormouse => launch.unprivileged(),
    };
    let rig = Plan::new(subject).launch(|l| launch(l).nofile(4096, 4096)).start()?;
    let sessions = (0..SESSIONS).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    for (client, server) in &sessions {
        exchange(client, server)?;
    }
    let mut sizes = Vec::new();
    let fds = format!("/proc/{}/fd", rig.subject.pid());
    for entry in fs::read_dir(&fds).doing(|| format!("list {fds}"))? {
        let path = entry.doing(|| format!("list {fds}"))?.path();
        let is_pipe = fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().starts_with("pipe:"));
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        // The standard streams are pipes of the test itself.
        if is_pipe && number > Some(2) {
            let pipe = fs::File::open(&path).doing(|| format!("open {}", path.display()))?;
            sizes.push(rustix::pipe::fcntl_getpipe_size(&pipe).doing(|| "F_GETPIPE_SZ".to_owned())?);
        }
    }
    Ok(sizes.iter().min().map_or("no pipe".to_owned(), |size| format!("{size} bytes")))
}

/// Opens connections until the accept queue of `listener` is full.
fn fill_queue(listener: &Listener) -> Result<Vec<Stream>> {
    let mut held = Vec::new();
    loop {
        match Stream::connect(listener.address(), A_WHILE / 2) {
            Ok(stream) => held.push(stream),
            // The kernel does not complete the connect: the queue is full.
            Err(failure) if failure.is_timeout() => return Ok(held),
            Err(failure) => return Err(failure),
        }
    }
}

fn half_open(subject: Subject) -> Result<String> {
    let limit = Duration::from_millis(500);
    let rig = Plan::new(subject).dormouse_args(["--half-close-timeout=500ms"]).start()?;
    let (client, server) = rig.session()?;
    exchange(&client, &server)?;
    let begun = Instant::now();
    client.finish()?;
    server.receive_to_end(SOON)?;
    let ended = client.ended_within(end_limit(subject))?.is_some();
    Ok(match (ended, begun.elapsed()) {
        (false, _) => "left open",
        (true, took) if took < limit * 3 / 4 => "ended at once",
        (true, _) => "ended after the half-close time",
    }
    .to_owned())
}

fn unix_backlog(subject: Subject) -> Result<String> {
    const CLIENTS: usize = 4;
    let back = Listener::with_backlog(Family::Unix, 0)?;
    let rig = Plan::new(subject).between(Family::Unix, Family::Unix).start_before(back)?;
    let clients = (0..CLIENTS).map(|_| rig.client()).collect::<Result<Vec<_>>>()?;
    // The backend is busy for a while and accepts no client.
    let mut dropped = 0;
    for client in &clients {
        dropped += usize::from(client.ended_within(A_WHILE / 4)?.is_some());
    }
    let mut served = Vec::new();
    while served.len() + dropped < CLIENTS {
        match rig.back.accept(SOON) {
            Ok(end) => served.push(end),
            Err(failure) if failure.is_timeout() => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(format!("{} of {CLIENTS} served", served.len()))
}

fn resolver_threads(subject: Subject) -> Result<String> {
    // A first session over a UNIX socket, which needs no resolver, shows that the program has started.
    let back = Listener::bind(Family::Tcp4)?;
    let rig = Plan::new(subject).start_before(back)?;
    let threads = |rig: &Rig| -> Result<Vec<String>> {
        let tasks = format!("/proc/{}/task", rig.subject.pid());
        let entries = fs::read_dir(&tasks).doing(|| format!("list {tasks}"))?;
        Ok(entries.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect())
    };
    wait::until("a program that waits for clients", SOON, || {
        let listens = rig.subject.descriptors()?.iter().any(|fd| fd.to_string_lossy().contains("eventpoll"));
        Ok(listens.then_some(()))
    })?;
    let _session = rig.session()?;
    let first = threads(&rig)?.len();
    let more = (0..10).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    let names = threads(&rig)?;
    drop(more);
    let resolvers = names.iter().any(|name| name.contains("resolve"));
    Ok(match (resolvers, names.len() > first) {
        (false, false) => "as before".to_owned(),
        (true, _) => "more than before".to_owned(),
        (false, true) => format!("{first}, then {}: {names:?}", names.len()),
    })
}

/// Small exchanges progress while other sessions send without a pause. The case does not run on
/// systemd-socket-proxyd, whose delay depends on the speed of its peers.
#[test]
fn small_session_beside_bulk() {
    let verdict = crate::case::alone(small_exchanges_beside_bulk);
    assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
}

fn small_exchanges_beside_bulk() -> Result<()> {
    const STREAMS: usize = 2;
    const EXCHANGES: usize = scaled(50, 200);
    /// The most bytes that the other sessions may move during one exchange, in nine of ten exchanges. This measure
    /// does not depend on the load of the machine, which slows down all sessions.
    const BESIDE: u64 = 256 << 20;
    let rig = Plan::new(Subject::Dormouse).between(Family::Unix, Family::Unix).start()?;
    let (client, server) = rig.session()?;
    let bulk = (0..STREAMS).map(|_| rig.session()).collect::<Result<Vec<_>>>()?;
    let (over, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    let beside = thread::scope(|scope| {
        for (from, to) in &bulk {
            scope.spawn(|| {
                let chunk = vec![b'x'; 1 << 16];
                while !over.load(Ordering::Relaxed) && from.send(&chunk, SOON).is_ok() {
                    moved.fetch_add(1 << 16, Ordering::Relaxed);
                }
                let _ = from.finish();
            });
            scope.spawn(|| to.drain(LIMIT * 2));
        }
        let beside = (0..EXCHANGES).map(|_| {
            let before = moved.load(Ordering::Relaxed);
            exchange(&client, &server)?;
            Ok(moved.load(Ordering::Relaxed) - before)
        });
        let beside = beside.collect::<Result<Vec<_>>>();
        over.store(true, Ordering::Relaxed);
        beside
    });
    let mut beside = beside?;
    beside.sort_unstable();
    match beside.get(EXCHANGES * 9 / 10) {
        Some(bytes) if *bytes <= BESIDE => Ok(()),
        bytes => {
            Err(Failure::Unexpected(format!("in one exchange of ten, others move more than {bytes:?} bytes")))
        }
    }
}

fn side_channel(subject: Subject) -> Result<String> {
    let rig = Plan::new(subject).between(Family::Unix, Family::Unix).start()?;
    let (client, server) = rig.session()?;
    let (sent, _other) = Stream::pair()?;
    send_with(&client, b"take this", &sent)?;
    let (bytes, fds) = receive_with(&server)?;
    if bytes != b"take this" {
        return Ok(format!("{bytes:?} arrived"));
    }
    Ok(if fds.is_empty() { "lost" } else { "arrived" }.to_owned())
}

fn send_with(stream: &Stream, bytes: &[u8], passed: &impl AsFd) -> Result<()> {
    let fds = [passed.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())
        .doing(|| "send a descriptor".to_owned())?;
    Ok(())
}

fn receive_with(stream: &Stream) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    // Returns when the peer's data has arrived.
    stream.ended_within(SOON)?;
    let mut buffer = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .doing(|| "receive a descriptor".to_owned())?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((buffer.get(..got.bytes).unwrap_or_default().to_vec(), fds.flatten().collect()))
}
