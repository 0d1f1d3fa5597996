//! A strict client of the web server behind the proxy.

use std::{path::Path, process::Command, time::Duration};

use dormouse_tests::{Address, Ending, Failure, Result, Stream, failure::Doing};

use super::machine::ensure;

/// The time limit of a request, including the wake.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Requests `number` and fails unless the answer is complete and correct and ends with an orderly close.
///
/// # Errors
/// When the connection is refused or reset, or the answer is wrong.
pub(crate) fn ask(at: &Address, number: u64) -> Result<()> {
    let stream = Stream::connect(at, REQUEST_LIMIT)?;
    send_request(&stream, number)?;
    receive_answer(&stream, number)
}

/// Like [`ask`], and returns a second connection from before the answer that keeps the proxy running.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_and_stay(at: &Address, number: u64) -> Result<Stream> {
    let stream = Stream::connect(at, REQUEST_LIMIT)?;
    send_request(&stream, number)?;
    let stays = Stream::connect(at, REQUEST_LIMIT)?;
    receive_answer(&stream, number)?;
    Ok(stays)
}

/// Sends the request for `number`.
///
/// # Errors
/// When the connection is gone.
pub(crate) fn send_request(stream: &Stream, number: u64) -> Result<()> {
    stream.send(format!("GET /?n={number} HTTP/1.0\r\n\r\n").as_bytes(), REQUEST_LIMIT)
}

/// Receives the answer to the request for `number`, and the end of the stream.
///
/// # Errors
/// When the answer or the end is wrong.
pub(crate) fn receive_answer(stream: &Stream, number: u64) -> Result<()> {
    let received = stream.receive_to_end(REQUEST_LIMIT)?;
    let text = String::from_utf8_lossy(&received.bytes);
    let right = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{number}\n"));
    ensure(right && received.ending == Ending::Fin, || {
        format!("the answer to request {number} is {text:?}, ended by {:?}", received.ending)
    })
}

/// Returns curl's output for `url`.
///
/// # Errors
/// When curl fails; the failure contains its messages.
pub(crate) fn curl(url: &str) -> Result<String> {
    run_curl(&[url])
}

/// Returns curl's output for a server on a UNIX socket.
///
/// # Errors
/// When curl fails; the failure contains its messages.
pub(crate) fn curl_unix(socket: &Path, url: &str) -> Result<String> {
    run_curl(&["--unix-socket", &socket.display().to_string(), url])
}

fn run_curl(args: &[&str]) -> Result<String> {
    let seconds = REQUEST_LIMIT.as_secs().to_string();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--globoff", "--max-time", &seconds])
        .args(args)
        .output()
        .doing(|| "run curl".to_owned())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::Unexpected(format!("curl {}: {} {stderr}", args.join(" "), output.status)))
    }
}
