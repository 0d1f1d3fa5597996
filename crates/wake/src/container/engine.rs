//! The engine's API: HTTP over a UNIX socket.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::places;

/// How long the engine may take to answer what it has at hand. One that is started by its socket needs its time.
pub(super) const PROMPT: Duration = Duration::from_secs(20);

/// What is read of an answer; an inspection is about ten thousand bytes.
const ANSWER: usize = 4 << 20;

/// The engine that a container belongs to.
#[derive(Debug)]
pub(super) struct Engine {
    configured: Option<PathBuf>,
    kind: Option<Kind>,
}

/// Which engine it is, as it said itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// With the version of its own interface.
    Podman(String),
    Docker,
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Engine {
    pub(super) fn new(configured: Option<PathBuf>) -> Self {
        Self { configured, kind: None }
    }

    /// Whether this is a Podman; unknown before its first answer.
    pub(super) fn is_podman(&self) -> Option<bool> {
        self.kind.as_ref().map(|kind| *kind != Kind::Docker)
    }

    /// The prefix of the requests that only Podman knows.
    pub(super) fn podman_prefix(&self) -> Option<String> {
        match &self.kind {
            Some(Kind::Podman(version)) => Some(format!("/v{version}/libpod")),
            Some(Kind::Docker) | None => None,
        }
    }

    /// Asks, and gives the answer if it says that all is well or needs nothing done (2xx, 304).
    ///
    /// # Errors
    /// When there is no engine, no answer within `limit`, or one that says no.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<Answer, EngineError> {
        let exchange = async {
            let (mut body, status, _connection) = self.open(method, path).await?;
            Ok::<_, EngineError>((read_all(&mut body).await?, status))
        };
        let (body, status) = timeout(limit, exchange).await.map_err(|_| EngineError::Late(limit))??;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Ok(Answer { status, body })
        } else {
            Err(EngineError::Said(status, message(&body)))
        }
    }

    /// Opens an answer that does not end.
    ///
    /// # Errors
    /// When there is no engine, it does not begin to answer within [`PROMPT`], or says no.
    pub(super) async fn follow(&mut self, path: &str) -> Result<Following, EngineError> {
        let exchange = async {
            let (mut body, status, connection) = self.open(Method::GET, path).await?;
            if status == StatusCode::OK {
                Ok(Following { body, _connection: connection })
            } else {
                Err(EngineError::Said(status, message(&read_all(&mut body).await?)))
            }
        };
        timeout(PROMPT, exchange).await.unwrap_or(Err(EngineError::Late(PROMPT)))
    }

    async fn open(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<(Incoming, StatusCode, Connection), EngineError> {
        let socket = places::find(self.configured.as_deref()).map_err(EngineError::NoSocket)?;
        let stream =
            UnixStream::connect(&socket).await.map_err(|error| EngineError::Unreachable(socket, error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = Connection(tokio::spawn(async move {
            // What goes wrong on it shows in the answer.
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONNECTION, "close")
            .body(String::new())
            .map_err(|error| EngineError::Nonsense(error.to_string()))?;
        let response = sender.send_request(request).await?;
        self.recognize(&response);
        let status = response.status();
        Ok((response.into_body(), status, connection))
    }

    fn recognize(&mut self, response: &Response<Incoming>) {
        let version = response.headers().get("libpod-api-version").and_then(|value| value.to_str().ok());
        let plain = |version: &&str| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        self.kind = Some(match version.map(|version| version.split('-').next().unwrap_or(version)) {
            Some(version) => Kind::Podman(Some(version).filter(plain).unwrap_or("4.0.0").to_owned()),
            None => Kind::Docker,
        });
    }
}

/// What drives a connection; ends with its owner.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Following {
    body: Incoming,
    _connection: Connection,
}

impl Following {
    /// The next piece; `None` when it has ended, in whatever way. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        next_piece(&mut self.body).await.ok().flatten()
    }
}

async fn read_all(body: &mut Incoming) -> Result<Vec<u8>, EngineError> {
    let mut all = Vec::new();
    while let Some(piece) = next_piece(body).await? {
        if all.len() + piece.len() > ANSWER {
            return Err(EngineError::Nonsense(format!("an answer of more than {ANSWER} bytes")));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// The engine's own words: both engines put them into `message`.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = match serde_json::from_slice::<Said>(body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// A name as a part of a request's path or query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            let digits = [byte >> 4, byte & 15].map(u32::from);
            encoded.extend(
                digits
                    .iter()
                    .filter_map(|digit| char::from_digit(*digit, 16))
                    .map(|c| c.to_ascii_uppercase()),
            );
        }
    }
    encoded
}

/// Why the engine did not do what it was asked.
#[derive(Debug)]
pub(super) enum EngineError {
    /// None of these sockets exists.
    NoSocket(Vec<PathBuf>),
    /// Its socket does not take a connection.
    Unreachable(PathBuf, io::Error),
    /// The connection broke in the middle.
    Cut(hyper::Error),
    /// It did not answer in time.
    Late(Duration),
    /// It said no, in these words.
    Said(StatusCode, String),
    /// It said something that is not to be understood.
    Nonsense(String),
}

impl EngineError {
    /// Whether an engine that is being started, or started again, may look like this.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::NoSocket(_) | Self::Cut(_) => true,
            Self::Unreachable(_, error) => error.kind() != io::ErrorKind::PermissionDenied,
            Self::Late(_) | Self::Said(..) | Self::Nonsense(_) => false,
        }
    }

    /// Whether there is no socket of an engine at all.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::NoSocket(_) => true,
            Self::Unreachable(_, error) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether something went wrong within the engine.
    pub(super) fn is_internal(&self) -> bool {
        matches!(self, Self::Said(status, _) if status.is_server_error())
    }

    /// Whether it knows no such container.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Said(StatusCode::NOT_FOUND, _))
    }
}

impl From<hyper::Error> for EngineError {
    fn from(error: hyper::Error) -> Self {
        Self::Cut(error)
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(places) => {
                let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
                write!(
                    f,
                    "no container engine: there is none of {}; {}, or name the socket of another",
                    places.join(", "),
                    enable(places::user() == 0)
                )
            }
            Self::Unreachable(socket, error) => {
                write!(f, "the container engine's socket {} takes no connection: {error}", socket.display())?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; let this user use it, or run a rootless engine")
                    }
                    _ => write!(f, "; {}", remedy(socket)),
                }
            }
            Self::Cut(error) => write!(f, "the container engine broke off: {error}"),
            Self::Late(limit) => {
                write!(f, "the container engine did not answer within {} s", limit.as_secs())
            }
            Self::Said(status, words) if words.is_empty() => write!(f, "the container engine says {status}"),
            Self::Said(_, words) => f.write_str(words),
            Self::Nonsense(what) => {
                write!(f, "the container engine's answer is not to be understood: {what}")
            }
        }
    }
}

fn remedy(socket: &Path) -> &'static str {
    if socket.file_name().is_some_and(|name| name == "docker.sock") {
        "start it with \"systemctl start docker.socket\""
    } else {
        enable(socket.starts_with("/run/podman") || places::user() == 0)
    }
}

fn enable(system: bool) -> &'static str {
    if system {
        "start one with \"systemctl enable --now podman.socket\""
    } else {
        "start one with \"systemctl --user enable --now podman.socket\""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("dormouse-engine-test-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        // Takes whoever comes, and says nothing.
        let silent = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((client, _)) = listener.accept().await {
                held.push(client);
            }
        });
        let mut engine = Engine::new(Some(path.clone()));
        let asked = engine.ask(Method::GET, "/containers/web/json", PROMPT).await;
        let followed = engine.follow("/events").await;
        for error in [asked.unwrap_err(), followed.unwrap_err()] {
            assert_eq!(error.to_string(), "the container engine did not answer within 20 s");
            assert!(!error.passes());
        }
        silent.abort();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn names_are_harmless_in_a_path() {
        assert_eq!(encode("web-1_a.b"), "web-1_a.b");
        assert_eq!(encode("a/b?c d\n"), "a%2Fb%3Fc%20d%0A");
    }

    #[test]
    fn the_engine_s_words_are_found_and_kept_short() {
        assert_eq!(
            message(br#"{"cause":"x","message":"no such\ncontainer","response":404}"#),
            "no such container"
        );
        assert_eq!(message(b"page not found\n"), "page not found");
        assert_eq!(message(&[b'x'; 9000]).len(), 500);
    }
}
