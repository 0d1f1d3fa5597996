//! The web address: metrics, the status page and health. Read-only, with a few clients at a time, one answer per
//! connection, and a deadline for everything. It answers only to requests for hosts of its own.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as StdListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use dormouse_log::Level;
use dormouse_proxy::listener::Listener;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::acceptor::receive;
use super::host_check::is_allowed;
use super::progress::{Progress, Watched};
use super::running::Running;
use super::{metrics, services};

/// The number of clients at a time. For a further one a client without a complete request gives way.
pub(super) const CLIENTS: usize = 16;
/// The longest time from the connection of a client to the last byte of its answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time for the head of a request, so that a silent client is disconnected soon.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The size of the buffer for a request, in bytes.
const BUFFER: usize = 16 << 10;
/// The number of services between two yields.
const SERVICES_PER_YIELD: usize = 8;

const PAGE: &str = include_str!("page.html");
/// The page loads nothing from other hosts and must not be framed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the clients of the web address.
pub(super) async fn serve(listener: Arc<Listener>, running: Arc<Running>) {
    let acceptor = listener.socket().as_fd().try_clone_to_owned();
    match acceptor.and_then(|socket| TcpListener::from_std(StdListener::from(socket))) {
        Ok(acceptor) => {
            receive(acceptor, CLIENTS, |client, progress| {
                serve_client(client, progress, Arc::clone(&running))
            })
            .await;
        }
        Err(error) => {
            running.log.line(Level::Err, format_args!("The web address {listener} is lost: {error}"));
        }
    }
}

async fn serve_client(client: TcpStream, progress: Progress, running: Arc<Running>) {
    // Without its address the client has left.
    let Ok(local) = client.local_addr() else { return };
    let answer = service_fn(|request| {
        progress.begin_answer();
        let running = Arc::clone(&running);
        async move { Ok::<_, Infallible>(answer(&request, local.ip(), &running).await) }
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(BUFFER).timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = server.serve_connection(TokioIo::new(Watched::new(client, progress.clone())), answer);
    // Errors of a client concern only that client.
    let _ = timeout(TOTAL_TIMEOUT, connection).await;
}

async fn answer(request: &Request<Incoming>, local: IpAddr, running: &Running) -> Response<String> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let plain = |status, text: &str| respond(status, TEXT, text.to_owned());
    if !is_allowed(request, local, &running.http_hosts()) {
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            "This server answers requests for localhost, for its own address and for the hosts in http_hosts \
             (--http-host), and not for the host of this request.\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD: this is for looking.\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => respond(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
        "/metrics" => {
            let openmetrics = accepts_openmetrics(request);
            let kind = if openmetrics {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            } else {
                "text/plain; version=0.0.4; charset=utf-8"
            };
            respond(StatusCode::OK, kind, metrics::metrics(running, openmetrics).await)
        }
        "/status.json" => respond(StatusCode::OK, "application/json", status(running).await),
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" if running.stats.is_shutting_down() => plain(StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        "/readyz" => plain(StatusCode::OK, "ready\n"),
        _ => plain(StatusCode::NOT_FOUND, "There are /, /metrics, /status.json, /healthz and /readyz.\n"),
    }
}

fn accepts_openmetrics(request: &Request<Incoming>) -> bool {
    let accepts =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("application/openmetrics-text"));
    request.headers().get_all(header::ACCEPT).iter().any(accepts)
}

async fn status(running: &Running) -> String {
    let mut text = format!("{{\"process\":{},\"services\":[", services::process(running));
    for (number, service) in running.services().iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&services::json(service));
        if number % SERVICES_PER_YIELD == 0 {
            yield_now().await;
        }
    }
    text.push_str("]}\n");
    text
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
