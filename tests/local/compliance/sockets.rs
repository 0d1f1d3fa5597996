//! Passed sockets: which are accepted, which are refused, and to which process they belong.

use dormouse_tests::failure::Doing;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Family, Launch, ListenPid, Listener, Result, Running, Stream, Subject};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::case::Expect::{Changed, Differs, Same};
use crate::case::cases;
use crate::rig::{A_WHILE, Plan, await_line, ending, exchange, log_of};

/// The process id of another process, the init process.
const FOREIGN: &str = "1";

const NONE_PASSED: &str = "exit 1: Didn't get any sockets passed in.*";
const NOT_RECEIVED: &str = "exit 1: Failed to receive sockets from parent.*";
const NOT_A_STREAM: &str = "exit 1: Passed in socket is not a stream socket.*";

cases! {
    pid_unset: "LISTEN_PID is not set" => Same(NONE_PASSED),
        |s| with_pid(s, ListenPid::Unset);
    pid_foreign: "LISTEN_PID of another process" => Same(NONE_PASSED),
        |s| with_pid(s, ListenPid::Text(FOREIGN.to_owned()));
    pid_junk: "LISTEN_PID is not a number" => Same(NOT_RECEIVED),
        |s| with_pid(s, ListenPid::Text("me".to_owned()));
    pid_empty: "LISTEN_PID=" => Same(NOT_RECEIVED), |s| with_pid(s, ListenPid::Text(String::new()));
    pid_zero: "LISTEN_PID=0" => Same(NOT_RECEIVED), |s| with_pid(s, ListenPid::Text("0".to_owned()));
    pid_impossible: "LISTEN_PID is larger than any process id" => Same(NOT_RECEIVED),
        |s| with_pid(s, ListenPid::Text("3000000000".to_owned()));
    pid_blank_before: "a blank before LISTEN_PID" => Same("serves"),
        |s| with_pid(s, ListenPid::Spelled(" %d"));
    pid_blank_after: "a blank after LISTEN_PID" => Same(NOT_RECEIVED),
        |s| with_pid(s, ListenPid::Spelled("%d "));
    pid_hexadecimal: "LISTEN_PID=0x…" => Same("serves"), |s| with_pid(s, ListenPid::Spelled("0x%x"));
    pid_octal: "LISTEN_PID=0…, the number in octal" => Same("serves"),
        |s| with_pid(s, ListenPid::Spelled("0%o"));
    fds_unset: "LISTEN_PID without LISTEN_FDS" => Same(NONE_PASSED), |s| {
        let mut subject = Launch::new(s).env("LISTEN_PID", FOREIGN).arg("127.0.0.1:9").start()?;
        ending(&mut subject, SOON)
    };
    fds_zero: "LISTEN_FDS=0" => Same(NOT_RECEIVED), |s| with_count(s, "0");
    fds_junk: "LISTEN_FDS=junk" => Same(NOT_RECEIVED), |s| with_count(s, "junk");
    fds_empty: "LISTEN_FDS=" => Same(NOT_RECEIVED), |s| with_count(s, "");
    fds_hexadecimal: "LISTEN_FDS=0x1" => Same("serves"), |s| with_count(s, "0x1");
    fds_binary: "LISTEN_FDS=0b1" => Same("serves"), |s| with_count(s, "0b1");
    fds_octal: "LISTEN_FDS=01" => Same("serves"), |s| with_count(s, "01");
    fds_not_octal: "LISTEN_FDS=08" => Same(NOT_RECEIVED), |s| with_count(s, "08");
    fds_blank_before: "a blank before LISTEN_FDS" => Same("serves"), |s| with_count(s, " 1");
    fds_blank_after: "a blank after LISTEN_FDS" => Same(NOT_RECEIVED), |s| with_count(s, "1 ");
    fds_negative: "LISTEN_FDS=-1" => Same(NOT_RECEIVED), |s| with_count(s, "-1");
    fds_too_many: "LISTEN_FDS=2 with one socket" => Differs {
        difference: "own-descriptors",
        socket_proxyd: NOT_A_STREAM,
        dormouse: NOT_RECEIVED,
    }, |s| with_count(s, "2");
    fds_huge: "LISTEN_FDS above the largest descriptor" => Same(NOT_RECEIVED),
        |s| with_count(s, "2147483647");
    pidfd_id_foreign: "LISTEN_PIDFDID of another process" => Changed { v252: "serves", v261: NONE_PASSED },
        |s| with_pidfd_id(s, "1");
    pidfd_id_junk: "LISTEN_PIDFDID is not a number" => Changed { v252: "serves", v261: NOT_RECEIVED },
        |s| with_pidfd_id(s, "me");
    pidfd_id_empty: "LISTEN_PIDFDID=" => Changed { v252: "serves", v261: NOT_RECEIVED },
        |s| with_pidfd_id(s, "");

    names_ignored: "LISTEN_FDNAMES names the socket" => Same("serves"),
        |s| Plan::new(s).launch(|l| l.names("web")).start()?.beginning();
    names_miscounted: "LISTEN_FDNAMES has more names than LISTEN_FDS includes sockets" => Differs {
        difference: "left-out-sockets",
        socket_proxyd: "serves: ",
        dormouse: "serves: 2 passed sockets are not served, because LISTEN_FDS includes fewer sockets than \
                   LISTEN_FDNAMES: mail, news. Remove Environment=LISTEN_FDS= from the unit.",
    }, |s| {
        let (rig, client, server) = Plan::new(s).launch(|l| l.names("web:mail:news")).start_with_session()?;
        exchange(&client, &server)?;
        await_line(&rig.subject, s)?;
        Ok(format!("serves: {}", log_of(&rig.subject)))
    };
    names_invalid: "LISTEN_FDNAMES is not valid" => Same("serves"),
        |s| Plan::new(s).launch(|l| l.names("a\tb")).start()?.beginning();

    tcp4: "a TCP listener on IPv4" => Same("serves"), |s| from(s, Family::Tcp4);
    tcp6: "a TCP listener on IPv6" => Same("serves"), |s| from(s, Family::Tcp6);
    unix: "a UNIX listener with a path" => Same("serves"), |s| from(s, Family::Unix);
    abstract_name: "a UNIX listener with an abstract name" => Same("serves"), |s| from(s, Family::Abstract);
    several: "four listeners, one of each family" => Same("each serves"), several;
    many: "forty listeners" => Same("each serves"), |s| all_serve(s, &[Family::Abstract; 40]);

    datagram: "a datagram socket" => Same(NOT_A_STREAM), |s| {
        refused(s, &socket(Domain::IPV4, Type::DGRAM)?)
    };
    seqpacket: "a seqpacket listener" => Same(NOT_A_STREAM), |s| {
        let (one, _other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).doing(|| "pair".to_owned())?;
        refused(s, &one)
    };
    not_listening: "a stream socket that does not listen" => Same(NOT_A_STREAM),
        |s| refused(s, &Listener::bound(Family::Tcp4)?);
    not_a_socket: "a file instead of a socket" => Same("exit 1: *"), |s| {
        let file = std::fs::File::open("/proc/self/stat").doing(|| "open /proc/self/stat".to_owned())?;
        refused(s, &file)
    };
    one_bad_of_two: "a good listener and a datagram socket" => Same(NOT_A_STREAM), |s| {
        let bad = socket(Domain::IPV4, Type::DGRAM)?;
        Plan::new(s).launch(|l| l.pass(&bad)).start()?.beginning()
    };
    nameless: "the log about a socket without a name with SYSTEMD_LOG_LEVEL=debug" => Differs {
        difference: "session-log",
        socket_proxyd: "nothing",
        dormouse: "its address",
    }, |s| {
        let mut rig = Plan::new(s).launch(|l| l.env("SYSTEMD_LOG_LEVEL", "debug")).start()?;
        rig.beginning()?;
        await_line(&rig.subject, s)?;
        let log = log_of(&rig.subject);
        let line = format!("Listening on {} for {}.", rig.front.address(), rig.back.address());
        Ok(if log.contains(&line) { "its address" } else { "nothing" }.to_owned())
    };
    connected: "one connected socket (Accept=yes)" => Differs {
        difference: "accept-yes",
        socket_proxyd: NOT_A_STREAM,
        dormouse: "one session, then exit 0",
    }, connected;
    connected_drains: "one connected socket, --drain-timeout=1h: SIGTERM twice" => Differs {
        difference: "accept-yes",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=1h'",
        dormouse: "still running, the session continues, then exit 0",
    }, connected_drains;
    connected_ends: "one connected socket: SIGTERM" => Differs {
        difference: "accept-yes",
        socket_proxyd: NOT_A_STREAM,
        dormouse: "exit 0",
    }, |s| {
        let scene = Connected::new(s, &[])?;
        scene.signalled()
    };
    connected_drain_timeout: "one connected socket, --drain-timeout=300ms: SIGTERM" => Differs {
        difference: "accept-yes",
        socket_proxyd: "exit 1: ARGV0: unrecognized option '--drain-timeout=300ms'",
        dormouse: "exit 0",
    }, |s| {
        let scene = Connected::new(s, &["--drain-timeout=300ms"])?;
        scene.signalled()
    };
    reset_before: "one connected socket, which its client has reset" => Differs {
        difference: "accept-yes",
        socket_proxyd: NOT_A_STREAM,
        dormouse: "exit 0",
    }, |s| {
        let (front, back) = (Listener::bind(Family::Tcp4)?, Listener::bind(Family::Tcp4)?);
        let client = Stream::connect(front.address(), SOON)?;
        let passed = front.accept(SOON)?;
        client.reset()?;
        if !passed.is_readable_within(SOON)? {
            return Ok("no reset arrived".to_owned());
        }
        let target = back.address().to_string();
        let mut running = Launch::new(s).arg(target).pass(&passed).start()?;
        ending(&mut running, SOON)
    };
    connected_beside_listener: "a connected socket and a listener" => Same("exit 1: *"), |s| {
        let (one, _other) = Stream::pair()?;
        Plan::new(s).launch(|l| l.pass(&one)).start()?.beginning()
    };
}

fn with_pid(subject: Subject, pid: ListenPid) -> Result<String> {
    Plan::new(subject).launch(|l| l.listen_pid(pid)).start()?.beginning()
}

fn with_pidfd_id(subject: Subject, id: &str) -> Result<String> {
    Plan::new(subject).launch(|l| l.env("LISTEN_PIDFDID", id)).start()?.beginning()
}

fn with_count(subject: Subject, count: &str) -> Result<String> {
    Plan::new(subject).launch(|l| l.listen_fds(count)).start()?.beginning()
}

fn from(subject: Subject, front: Family) -> Result<String> {
    Plan::new(subject).between(front, Family::Tcp4).start()?.beginning()
}

fn socket(domain: Domain, kind: Type) -> Result<Socket> {
    Socket::new(domain, kind, None).doing(|| "make a socket".to_owned())
}

/// Starts the program with only this descriptor and returns the way in which it ended.
fn refused(subject: Subject, fd: &impl std::os::fd::AsFd) -> Result<String> {
    let mut running = Launch::new(subject).arg("127.0.0.1:9").pass(fd).start()?;
    ending(&mut running, SOON)
}

fn several(subject: Subject) -> Result<String> {
    all_serve(subject, &Family::ALL)
}

/// Passes a listener of each family and runs a session through each.
fn all_serve(subject: Subject, families: &[Family]) -> Result<String> {
    let back = Listener::bind(Family::Tcp4)?;
    let fronts = families.iter().map(|family| Listener::bind(*family)).collect::<Result<Vec<_>>>()?;
    let launch = Launch::new(subject).arg(back.address().to_string());
    let running = fronts.iter().fold(launch, Launch::pass).start()?;
    for front in &fronts {
        let client = Stream::connect(front.address(), SOON)?;
        let server = back.accept(SOON).map_err(|failure| running.with_log(&failure))?;
        exchange(&client, &server)?;
    }
    Ok("each serves".to_owned())
}

fn connected(subject: Subject) -> Result<String> {
    let back = Listener::bind(Family::Tcp4)?;
    let (client, passed) = Stream::pair()?;
    let target = back.address().to_string();
    let mut running = Launch::new(subject).arg(target).pass(&passed).start()?;
    drop(passed);
    if subject == Subject::SocketProxyd {
        return ending(&mut running, SOON);
    }
    let server = back.accept(SOON).map_err(|failure| running.with_log(&failure))?;
    exchange(&client, &server)?;
    client.finish()?;
    server.send(b"the last words", SOON)?;
    drop(server);
    let last = client.receive_to_end(SOON)?;
    if last.bytes != b"the last words" {
        return Ok(format!("the client read {:?}", String::from_utf8_lossy(&last.bytes)));
    }
    Ok(format!("one session, then {}", ending(&mut running, SOON)?))
}

/// A session of a passed connected socket.
struct Connected {
    running: Running,
    client: Stream,
    /// `None` with systemd-socket-proxyd, which refuses connected sockets.
    server: Option<Stream>,
}

impl Connected {
    fn new(subject: Subject, args: &[&str]) -> Result<Self> {
        let back = Listener::bind(Family::Tcp4)?;
        let (client, passed) = Stream::pair()?;
        let launch = Launch::new(subject).args(args).arg(back.address().to_string());
        let running = launch.pass(&passed).start()?;
        let mut scene = Self { running, client, server: None };
        if subject == Subject::Dormouse {
            let server = back.accept(SOON).map_err(|failure| scene.running.with_log(&failure))?;
            exchange(&scene.client, &server)?;
            scene.server = Some(server);
        }
        Ok(scene)
    }

    /// Sends SIGTERM, waits for the end of the session and returns the way in which the program ended.
    fn signalled(mut self) -> Result<String> {
        let Some(server) = &self.server else { return ending(&mut self.running, SOON) };
        self.running.signal(Signal::TERM)?;
        let end = ending(&mut self.running, SOON)?;
        self.client.receive_to_end(SOON)?;
        server.receive_to_end(SOON)?;
        Ok(end)
    }
}

fn connected_drains(subject: Subject) -> Result<String> {
    let mut scene = Connected::new(subject, &["--drain-timeout=1h"])?;
    let Some(server) = &scene.server else { return ending(&mut scene.running, SOON) };
    scene.running.signal(Signal::TERM)?;
    let state = match scene.running.wait(A_WHILE) {
        Ok(_) => return ending(&mut scene.running, SOON),
        Err(_) => "still running",
    };
    exchange(&scene.client, server)?;
    Ok(format!("{state}, the session continues, then {}", scene.signalled()?))
}
