//! The engine's API: HTTP over a UNIX socket.

use std::future::poll_fn;
use std::path::PathBuf;
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

use super::engine_error::EngineError;
use super::socket::find_socket;

/// The time that the engine may take to answer a simple request. A socket-activated engine has to start first.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest response to read, in bytes. An inspection has about ten thousand bytes.
const MAX_RESPONSE: usize = 4 << 20;

/// A client of the engine that a container belongs to.
#[derive(Debug)]
pub(super) struct Engine {
    configured: Option<PathBuf>,
    kind: Option<EngineKind>,
}

/// The engine, as its responses identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EngineKind {
    /// Podman, with the version of its own API.
    Podman(String),
    Docker,
}

/// A complete response.
#[derive(Debug)]
pub(super) struct EngineResponse {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Engine {
    pub(super) fn new(configured: Option<PathBuf>) -> Self {
        Self { configured, kind: None }
    }

    /// Returns whether the engine is Podman; `None` before its first response.
    pub(super) fn is_podman(&self) -> Option<bool> {
        self.kind.as_ref().map(|kind| *kind != EngineKind::Docker)
    }

    /// Returns the path prefix of requests that only Podman supports.
    pub(super) fn podman_prefix(&self) -> Option<String> {
        match &self.kind {
            Some(EngineKind::Podman(version)) => Some(format!("/v{version}/libpod")),
            Some(EngineKind::Docker) | None => None,
        }
    }

    /// Sends a request, and returns the response if its status is 2xx or 304 (nothing to do).
    ///
    /// # Errors
    /// When there is no engine, no response within `limit`, or a response with another status.
    pub(super) async fn request(
        &mut self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<EngineResponse, EngineError> {
        let exchange = async {
            let (mut body, status, _connection) = self.send(method, path).await?;
            Ok::<_, EngineError>((read_all(&mut body).await?, status))
        };
        let (body, status) = timeout(limit, exchange).await.map_err(|_| EngineError::Timeout(limit))??;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Ok(EngineResponse { status, body })
        } else {
            Err(EngineError::Rejected(status, message(&body)))
        }
    }

    /// Sends a request with an endless response.
    ///
    /// # Errors
    /// When there is no engine, no response begins within [`REQUEST_TIMEOUT`], or its status is not 200.
    pub(super) async fn stream(&mut self, path: &str) -> Result<ResponseStream, EngineError> {
        let exchange = async {
            let (mut body, status, connection) = self.send(Method::GET, path).await?;
            if status == StatusCode::OK {
                Ok(ResponseStream { body, _connection: connection })
            } else {
                Err(EngineError::Rejected(status, message(&read_all(&mut body).await?)))
            }
        };
        timeout(REQUEST_TIMEOUT, exchange).await.unwrap_or(Err(EngineError::Timeout(REQUEST_TIMEOUT)))
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<(Incoming, StatusCode, Connection), EngineError> {
        let socket = find_socket(self.configured.as_deref()).map_err(EngineError::NoSocket)?;
        let stream =
            UnixStream::connect(&socket).await.map_err(|error| EngineError::Unreachable(socket, error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = Connection(tokio::spawn(async move {
            // An error of the connection also fails the response.
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONNECTION, "close")
            .body(String::new())
            .map_err(|error| EngineError::InvalidResponse(error.to_string()))?;
        let response = sender.send_request(request).await?;
        self.identify(&response);
        let status = response.status();
        Ok((response.into_body(), status, connection))
    }

    fn identify(&mut self, response: &Response<Incoming>) {
        let version = response.headers().get("libpod-api-version").and_then(|value| value.to_str().ok());
        let plain = |version: &&str| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        self.kind = Some(match version.map(|version| version.split('-').next().unwrap_or(version)) {
            Some(version) => EngineKind::Podman(Some(version).filter(plain).unwrap_or("4.0.0").to_owned()),
            None => EngineKind::Docker,
        });
    }
}

/// The task that drives a connection. Dropping this ends it.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An endless response.
#[derive(Debug)]
pub(super) struct ResponseStream {
    body: Incoming,
    _connection: Connection,
}

impl ResponseStream {
    /// Returns the next part; `None` at the end or after an error. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        next_chunk(&mut self.body).await.ok().flatten()
    }
}

async fn read_all(body: &mut Incoming) -> Result<Vec<u8>, EngineError> {
    let mut all = Vec::new();
    while let Some(chunk) = next_chunk(body).await? {
        if all.len() + chunk.len() > MAX_RESPONSE {
            return Err(EngineError::InvalidResponse(format!("more than {MAX_RESPONSE} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error),
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

/// Returns the engine's error message. Both engines put it into `message`.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
    }
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => error.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// Percent-encodes a name for the path or the query of a request.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_fails_the_request() {
        let path = std::env::temp_dir().join(format!("dormouse-engine-test-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        // Accepts connections and sends nothing.
        let silent = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((client, _)) = listener.accept().await {
                held.push(client);
            }
        });
        let mut engine = Engine::new(Some(path.clone()));
        let asked = engine.request(Method::GET, "/containers/web/json", REQUEST_TIMEOUT).await;
        let followed = engine.stream("/events").await;
        for error in [asked.unwrap_err(), followed.unwrap_err()] {
            assert_eq!(error.to_string(), "the container engine did not answer within 20 s");
            assert!(!error.is_transient());
        }
        silent.abort();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(encode("web-1_a.b"), "web-1_a.b");
        assert_eq!(encode("a/b?c d\n"), "a%2Fb%3Fc%20d%0A");
    }

    #[test]
    fn the_error_message_is_found_and_bounded() {
        assert_eq!(
            message(br#"{"cause":"x","message":"no such\ncontainer","response":404}"#),
            "no such container"
        );
        assert_eq!(message(b"page not found\n"), "page not found");
        assert_eq!(message(&[b'x'; 9000]).len(), 500);
    }
}
