//! The client side of the control socket, for `dormouse status`, the control commands, and [`top`].

#![forbid(unsafe_code)]
// These macros panic if writing fails.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod fields;
pub mod top;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The longest time from the call to the whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// The reason why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// No socket is named, and none exists at the default paths.
    NotFound(Vec<PathBuf>),
    /// The connection fails.
    Unreachable(PathBuf, io::Error),
    /// The connection broke during this operation.
    Broken(PathBuf, &'static str, io::Error),
    /// There was no whole answer in this time.
    TimedOut(PathBuf, Duration),
    /// The answer is not valid.
    Invalid(PathBuf, String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(places) => {
                let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
                write!(
                    f,
                    "No control socket at {}; start dormouse run with control = \"unix:PATH\" in its configuration (or \
                     --control=PATH), and give the same path here with --control=PATH",
                    places.join(" or ")
                )
            }
            Self::Unreachable(path, error) => {
                write!(f, "Failed to connect to the control socket {}: {error}", path.display())?;
                match error.kind() {
                    ErrorKind::PermissionDenied => {
                        f.write_str("; only root or the user that runs dormouse may connect")
                    }
                    ErrorKind::ConnectionRefused => f.write_str("; dormouse is not running"),
                    _ => Ok(()),
                }
            }
            Self::Broken(path, doing, error) => {
                write!(f, "Failed to {doing} the control socket {}: {error}", path.display())
            }
            Self::TimedOut(path, timeout) => write!(
                f,
                "The control socket {} does not answer within {} s; dormouse hangs, or ten other clients get answers",
                path.display(),
                timeout.as_secs_f64()
            ),
            Self::Invalid(path, error) => {
                write!(
                    f,
                    "The answer of the control socket {} is not valid: {error}; does dormouse listen there?",
                    path.display()
                )
            }
        }
    }
}

/// A client of one control socket.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
}

impl Client {
    /// Uses this socket, or the first that exists at the default paths.
    ///
    /// # Errors
    /// When none is named, and none exists.
    pub fn new(named: Option<PathBuf>) -> Result<Self, ClientError> {
        if let Some(path) = named {
            // The form of the configuration is accepted, too.
            let plain = path.to_str().and_then(|text| text.strip_prefix("unix:"));
            let plain = plain.map(|text| text.split_once('?').map_or(text, |(path, _)| path));
            return Ok(Self::at(plain.map_or_else(|| path.clone(), PathBuf::from)));
        }
        let places = places(|name| std::env::var_os(name));
        match places.iter().find(|place| place.exists()) {
            Some(path) => Ok(Self::at(path.clone())),
            None => Err(ClientError::NotFound(places)),
        }
    }

    fn at(path: PathBuf) -> Self {
        Self { path, timeout: TIMEOUT }
    }

    /// Sends a line and returns the answer without its final empty line.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub fn ask(&self, line: &str) -> Result<String, ClientError> {
        let call = Call { client: self, began: Instant::now() };
        let broken = |doing| move |error| call.broken(doing, error);
        let mut socket = call.connect().map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => call.silent(),
            _ => ClientError::Unreachable(self.path.clone(), error),
        })?;
        socket.set_write_timeout(Some(call.left()?)).map_err(broken("write to"))?;
        socket.write_all(format!("{line}\n").as_bytes()).map_err(broken("write to"))?;
        socket.shutdown(Shutdown::Write).map_err(broken("write to"))?;
        let mut answer = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while answer.len() < MAX_ANSWER {
            socket.set_read_timeout(Some(call.left()?)).map_err(broken("read from"))?;
            match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => answer.extend(piece.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(call.broken("read from", error)),
            }
        }
        let answer = String::from_utf8(answer).map_err(|error| self.invalid(&error.to_string()))?;
        Ok(answer.trim_end_matches('\n').to_owned())
    }

    /// Returns the error for an answer that is not valid.
    pub fn invalid(&self, why: &str) -> ClientError {
        ClientError::Invalid(self.path.clone(), why.to_owned())
    }

    /// Sends a line whose answer is JSON.
    ///
    /// # Errors
    /// As for [`Self::ask`], and when the answer is no JSON.
    pub fn ask_json(&self, line: &str) -> Result<serde_json::Value, ClientError> {
        let answer = self.ask(line)?;
        serde_json::from_str(&answer).map_err(|error| self.invalid(&error.to_string()))
    }
}

/// A request with its deadline.
#[derive(Clone, Copy)]
struct Call<'a> {
    client: &'a Client,
    began: Instant,
}

impl Call<'_> {
    /// Connects, which waits as well if the backlog is full.
    fn connect(self) -> io::Result<UnixStream> {
        let address = SocketAddrUnix::new(&self.client.path)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(self.client.timeout))?;
        connect(&socket, &address)?;
        Ok(socket.into())
    }

    /// Returns the time that is left.
    fn left(self) -> Result<Duration, ClientError> {
        let left = self.client.timeout.saturating_sub(self.began.elapsed());
        if left.is_zero() { Err(self.silent()) } else { Ok(left) }
    }

    fn silent(self) -> ClientError {
        ClientError::TimedOut(self.client.path.clone(), self.client.timeout)
    }

    fn broken(self, doing: &'static str, error: io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::WouldBlock => self.silent(),
            _ => ClientError::Broken(self.client.path.clone(), doing, error),
        }
    }
}

/// The file name of the control socket, in the runtime directory of the service manager or of a user.
pub const FILE: &str = "control.sock";

/// Returns the paths where a client looks for a control socket: that of the system, then that of the user.
pub fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let system = PathBuf::from("/run/dormouse").join(FILE);
    let user = variable("XDG_RUNTIME_DIR").filter(|directory| directory != OsStr::new(""));
    let user = user.map(|directory| PathBuf::from(directory).join("dormouse").join(FILE));
    std::iter::once(system).chain(user).collect()
}

/// Escapes a word for the control socket.
pub fn escaped(word: &str) -> String {
    let special = |c: char| c.is_ascii_whitespace() || ";\\".contains(c);
    word.chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::thread;

    use rustix::net::{bind, listen};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    struct Socket(PathBuf);

    impl Socket {
        fn new(name: &str) -> Self {
            let name = format!("dormouse-client-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        /// Returns the error of a client with a short timeout.
        fn error(&self) -> String {
            let client = Client { path: self.0.clone(), timeout: Duration::from_millis(200) };
            let (send, error) = mpsc::channel();
            thread::spawn(move || send.send(client.ask("show info").unwrap_err().to_string()));
            error.recv_timeout(SOON).unwrap()
        }

        fn does_not_answer(&self) -> String {
            let path = self.0.display();
            format!(
                "The control socket {path} does not answer within 0.2 s; dormouse hangs, or ten other clients get answers"
            )
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_socket_of_the_user_is_the_last_place() {
        let found = places(|_| Some("/run/user/7".into()));
        assert_eq!(found.last(), Some(&PathBuf::from("/run/user/7/dormouse/control.sock")));
    }

    #[test]
    fn a_full_backlog_is_reported() {
        let socket = Socket::new("full");
        let address = SocketAddrUnix::new(&socket.0).unwrap();
        let new = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let listener = new(SocketFlags::CLOEXEC);
        bind(&listener, &address).unwrap();
        listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = new(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
            match connect(&client, &address) {
                Ok(()) => waiting.push(client),
                Err(error) => {
                    assert_eq!(error, rustix::io::Errno::AGAIN);
                    break;
                }
            }
        }
        assert_eq!(socket.error(), socket.does_not_answer());
    }

    #[test]
    fn silence_is_reported() {
        let socket = Socket::new("silent");
        let _listener = UnixListener::bind(&socket.0).unwrap();
        assert_eq!(socket.error(), socket.does_not_answer());
    }

    #[test]
    fn an_answer_without_end_is_reported() {
        let socket = Socket::new("slow");
        let listener = UnixListener::bind(&socket.0).unwrap();
        let talker = thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            while client.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(socket.error(), socket.does_not_answer());
        talker.join().unwrap();
    }

    #[test]
    fn an_error_names_the_operation() {
        let socket = Socket::new("gone");
        let refused = format!("Failed to connect to the control socket {}: No such file", socket.0.display());
        assert!(socket.error().starts_with(&refused), "{}", socket.error());
        let broken = Client::at(socket.0.clone());
        let broken = Call { client: &broken, began: Instant::now() };
        let error = broken.broken("write to", ErrorKind::BrokenPipe.into()).to_string();
        assert!(error.starts_with("Failed to write to the control socket "), "{error}");
    }
}
