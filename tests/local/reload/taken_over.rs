//! What an attacker who has taken over dormouse gets from the spawner.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use dormouse_tests::Result;
use dormouse_tests::failure::Doing;
use dormouse_tests::rig::Place;
use dormouse_tests::wait::SOON;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::net::sockopt::socket_type;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, sendmsg};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::restrictions::{config, start};

/// The test is an attacker who has taken over dormouse: it has the socket to the spawner, and sends what it likes.
#[test]
fn the_spawner_starts_nothing_that_the_configuration_does_not_name() {
    let place = Place::new(1).unwrap();
    let commands =
        "[services.job]\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:1'\nwake = { start = 'true -x' }\n";
    let scene = start(&place, &format!("{}{commands}", config(&place, ""))).unwrap();
    let attacker = Attacker::new(scene.pid()).unwrap();
    let victim = place.path("victim");
    let json = |word: &str| format!("{{\"Unix\":{:?}}}", word.as_bytes());
    let command = |service: &str, words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| json(word)).collect();
        format!(
            "{{\"start\":{{\"kind\":\"command\",\"body\":{{\"service\":\"{service}\",\"argv\":[{}]}}}}}}",
            words.join(",")
        )
    };
    // The configured command shows that the requests are understood.
    let answer = attacker.send(&command("job", &["true", "-x"])).unwrap();
    assert!(answer.starts_with("started "), "{answer}");
    let path = victim.display().to_string();
    for (service, words) in
        [("job", &["touch", &path][..]), ("job", &["true", "-y"]), ("web", &["true", "-x"])]
    {
        assert_eq!(attacker.send(&command(service, words)).unwrap(), "refused \n", "{service} {words:?}");
    }
    let exec = format!(
        "{{\"argv\":[{},{}],\"environment\":[],\"directory\":null,\"user\":null,\"sandbox\":\"None\",\
         \"notify\":false}}",
        json("touch"),
        json(&path)
    );
    let guard = format!(
        "{{\"start\":{{\"kind\":\"guard\",\"body\":{{\"service\":\"web\",\"exec\":{exec},\
         \"stop_timeout\":{{\"secs\":1,\"nanos\":0}},\"notify_directory\":null,\"run_id\":\"x\"}}}}}}"
    );
    assert_eq!(attacker.send(&guard).unwrap(), "refused \n");
    // Nor does it kill processes that are no part of a run.
    let sweep = format!(
        "{{\"ask\":{{\"kind\":\"sweep\",\"body\":{{\"guard\":{},\"run_id\":\"x\"}}}}}}",
        std::process::id()
    );
    assert_eq!(attacker.send(&sweep).unwrap(), "refused \n");
    assert!(!victim.exists());
    // The spawner still serves dormouse.
    scene.echo(&scene.client_of("web").unwrap(), "hello").unwrap();
}

/// The spawner may change modes and owners. It does so for sockets in the directories of the configuration alone.
#[test]
fn the_spawner_changes_no_file_but_sockets_of_the_configuration() {
    let place = Place::new(1).unwrap();
    let socket = place.path("sockets/web.sock");
    let listen = format!(", '{}?mode=0620'", socket.display());
    let scene = start(&place, &config(&place, &listen)).unwrap();
    let attacker = Attacker::new(scene.pid()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&socket), 0o620);
    let change = |path: &Path, change: &str| {
        let file = open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).unwrap();
        attacker.send_with(&format!("{{\"change\":{change}}}"), file.as_fd()).unwrap()
    };
    // What dormouse itself asks for shows that the requests are understood.
    assert_eq!(change(&socket, "{\"mode\":384}"), "answer null\n");
    assert_eq!(mode(&socket), 0o600);
    let (file, other) = (place.path("sockets/file"), place.path("other.sock"));
    let _other = UnixListener::bind(&other).unwrap();
    fs::write(&file, "").unwrap();
    let before = [mode(&file), mode(&other), mode(&place.path("sockets"))];
    for path in [&file, &other, &place.path("sockets"), &"/etc/passwd".into(), &"/proc/self/exe".into()] {
        assert_eq!(change(path, "{\"mode\":511}"), "refused \n", "{}", path.display());
    }
    for refused in ["{\"mode\":2541}", "{\"owner\":{\"uid\":65534,\"gid\":null}}"] {
        assert_eq!(change(&socket, refused), "refused \n", "{refused}");
    }
    assert_eq!([mode(&file), mode(&other), mode(&place.path("sockets"))], before);
}

/// The socket of dormouse to its spawner.
struct Attacker(OwnedFd);

impl Attacker {
    fn new(dormouse: u32) -> Result<Self> {
        let pid = i32::try_from(dormouse).ok().and_then(Pid::from_raw).unwrap();
        let process = pidfd_open(pid, PidfdFlags::empty()).doing(|| "open dormouse".to_owned())?;
        let numbers = fs::read_dir(format!("/proc/{dormouse}/fd")).unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut copies =
            numbers.filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
        Ok(Self(copies.find(|fd| socket_type(fd) == Ok(SocketType::SEQPACKET)).unwrap()))
    }

    /// Sends a request, and returns the first report.
    fn send(&self, request: &str) -> Result<String> {
        let output = fs::File::options().write(true).open("/dev/null").unwrap();
        self.send_with(request, output.as_fd())
    }

    /// Sends a request with this descriptor.
    fn send_with(&self, request: &str, output: BorrowedFd<'_>) -> Result<String> {
        let mut file = fs::File::from(memfd_create("request", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(request.as_bytes()).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let descriptors = [file.as_fd(), far.as_fd(), output];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.0, &[IoSlice::new(b"r")], &mut control, SendFlags::NOSIGNAL)
            .doing(|| "send to the spawner".to_owned())?;
        drop(far);
        near.set_read_timeout(Some(SOON)).unwrap();
        let mut line = String::new();
        BufReader::new(near).read_line(&mut line).doing(|| "read a report".to_owned())?;
        Ok(line)
    }
}
