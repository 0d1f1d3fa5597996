//! A dormouse with a server that records its starts.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;

use dormouse_tests::failure::Doing;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::Dormouse;
use dormouse_tests::temp::TempDir;
pub(crate) use dormouse_tests::wait::LIMIT;
use dormouse_tests::wait::until;
use dormouse_tests::{Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A server that records its process id at each start, behaves as `how` says, and echoes one line of each client.
const SERVER: &str = r#"
import os, signal, socket, sys, time
where, starts, how = sys.argv[1:4]
def note(): open(starts, "a").write("%d\n" % os.getpid())
def end(*_):
    time.sleep(0.03)
    os._exit(0)
if how == "slow-end": signal.signal(signal.SIGTERM, end)
if how == "stubborn": signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how in ("deaf", "stuck"):
    note()
    time.sleep(1000)
if how == "crash":
    note()
    print("cannot open the database", flush=True)
    sys.exit(3)
if os.path.exists(where): os.unlink(where)
listener = socket.socket(socket.AF_UNIX)
listener.bind(where)
listener.listen(100)
note()
while True:
    client, _ = listener.accept()
    if how == "hang-up": os._exit(0)
    if how == "once-in":
        while client.recv(100): pass
        os._exit(0)
    words = client.recv(100)
    client.sendall(words)
    if how == "lasting": time.sleep(1000)
    client.close()
    if how == "once": os._exit(0)
"#;

/// A dormouse with its directory and its address.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) dormouse: Dormouse,
    address: SocketAddr,
}

impl Deref for Scene {
    type Target = Dormouse;

    fn deref(&self) -> &Dormouse {
        &self.dormouse
    }
}

impl Scene {
    /// Starts dormouse with the server above.
    pub(crate) fn new(how: &str, flags: &[&str]) -> Result<Self> {
        Self::launch(Launch::dormouse(), how, flags)
    }

    pub(crate) fn launch(launch: Launch, how: &str, flags: &[&str]) -> Result<Self> {
        let dir = TempDir::new()?;
        let script = dir.join("server.py");
        fs::write(&script, SERVER).doing(|| "write the server".to_owned())?;
        let words = [script, dir.join("socket"), dir.join("starts"), how.into()];
        let words: Vec<_> = words.iter().map(|word| word.display().to_string()).collect();
        let exec = format!("--exec=python3 -S -E {}", words.join(" "));
        let flags: Vec<&str> = flags.iter().copied().chain([exec.as_str()]).collect();
        Self::with(launch, dir, &flags)
    }

    /// Starts dormouse with these flags and with the server's socket in this directory.
    pub(crate) fn with(launch: Launch, dir: TempDir, flags: &[&str]) -> Result<Self> {
        // dormouse may run as another user.
        let mode = fs::Permissions::from_mode(0o777);
        fs::set_permissions(dir.path(), mode).doing(|| "open the directory".to_owned())?;
        let launch = launch
            .args(["run", "--listen=127.0.0.1:0", "--minimum-uptime=0"])
            .arg(format!("--to={}", dir.join("socket").display()))
            .args(flags);
        let dormouse = Dormouse::start(launch)?;
        let address = dormouse.address()?;
        Ok(Self { dir, dormouse, address })
    }

    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).doing(|| format!("connect to {}", self.address))?;
        stream.set_read_timeout(Some(LIMIT)).doing(|| "set a timeout".to_owned())?;
        Ok(stream)
    }

    /// Sends a line and returns the answer up to the end of the stream.
    pub(crate) fn ask(&self, words: &str) -> Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(words.as_bytes()).doing(|| "send".to_owned())?;
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).doing(|| "receive".to_owned())?;
        Ok(echoed)
    }

    /// Sends a request that must be answered.
    #[track_caller]
    pub(crate) fn served(&self, words: &str) {
        match self.ask(words) {
            Ok(echoed) if echoed == words => {}
            other => panic!("{words:?} was answered by {other:?}\n{}", self.log()),
        }
    }

    /// Calls `look` during a session, which keeps the server awake, and returns its result.
    #[track_caller]
    pub(crate) fn while_served<T>(&self, words: &str, look: impl FnOnce() -> T) -> T {
        let mut client = self.connect().unwrap_or_else(|failure| panic!("{failure}\n{}", self.log()));
        let found = look();
        let mut echoed = String::new();
        match client.write_all(words.as_bytes()).and_then(|()| client.read_to_string(&mut echoed)) {
            Ok(_) if echoed == words => found,
            other => panic!("{words:?} was answered by {other:?}, {echoed:?}\n{}", self.log()),
        }
    }

    /// Repeats a request until it is answered: during the pause after a failure dormouse refuses clients.
    #[track_caller]
    pub(crate) fn served_again(&self, words: &str) {
        let served =
            until("an answer", LIMIT, || Ok((self.ask(words).ok().as_deref() == Some(words)).then_some(())));
        assert!(served.is_ok(), "{served:?}\n{}", self.log());
    }

    /// Sends a request that must get no answer.
    #[track_caller]
    pub(crate) fn refused(&self, words: &str) {
        match self.ask(words) {
            Ok(echoed) if echoed.is_empty() => {}
            Err(Failure::Io { source, .. }) if source.kind() != std::io::ErrorKind::WouldBlock => {}
            other => panic!("{words:?} was answered by {other:?}\n{}", self.log()),
        }
    }

    /// The process ids of the started servers.
    pub(crate) fn starts(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.dir.join("starts")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits until this number of servers has started and returns the last one.
    #[track_caller]
    pub(crate) fn server(&self, count: usize) -> Process {
        let pid = until("a start", LIMIT, || {
            Ok((self.starts().len() >= count).then(|| self.starts().last().copied()))
        });
        match pid {
            Ok(Some(pid)) => Process::new(pid),
            other => panic!("{other:?}\n{}", self.log()),
        }
    }
}

/// A process that is not a child of the test, with a pidfd so that its process id cannot be reused unnoticed.
pub(crate) struct Process {
    pub(crate) pid: i32,
    fd: std::os::fd::OwnedFd,
}

impl Process {
    #[track_caller]
    pub(crate) fn new(pid: i32) -> Self {
        let fd = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        match fd {
            Some(Ok(fd)) => Self { pid, fd },
            other => panic!("process {pid}: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn kill(&self) {
        pidfd_send_signal(&self.fd, Signal::KILL)
            .unwrap_or_else(|error| panic!("kill {}: {error}", self.pid));
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&self) {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "process {} still runs", self.pid);
    }
}
