//! The client: asks the web server through the program, and is hard to please.

use std::{path::Path, process::Command, time::Duration};

use dormouse_tests::{Address, Ending, Failure, Result, Stream, failure::Doing};

use super::machine::ensure;

/// How long a request may take, waking included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for `number` and fails unless the answer is whole, the right one, and ended by an orderly close.
///
/// # Errors
/// When the connection is refused or reset, or the answer is anything but that.
pub(crate) fn ask(at: &Address, number: u64) -> Result<()> {
    let stream = Stream::connect(at, PATIENCE)?;
    send_request(&stream, number)?;
    receive_answer(&stream, number)
}

/// The same, by somebody who came with another client that stays: the program goes on for so long.
///
/// # Errors
/// The same.
pub(crate) fn ask_and_stay(at: &Address, number: u64) -> Result<Stream> {
    let stream = Stream::connect(at, PATIENCE)?;
    send_request(&stream, number)?;
    let stays = Stream::connect(at, PATIENCE)?;
    receive_answer(&stream, number)?;
    Ok(stays)
}

/// Sends the request for `number`.
///
/// # Errors
/// When the connection is gone.
pub(crate) fn send_request(stream: &Stream, number: u64) -> Result<()> {
    stream.send(format!("GET /?n={number} HTTP/1.0\r\n\r\n").as_bytes(), PATIENCE)
}

/// Receives the answer to the request for `number`, and the end of the stream.
///
/// # Errors
/// When that is not what comes.
pub(crate) fn receive_answer(stream: &Stream, number: u64) -> Result<()> {
    let received = stream.receive_to_end(PATIENCE)?;
    let text = String::from_utf8_lossy(&received.bytes);
    let right = text.starts_with("HTTP/1.1 200 ") && text.ends_with(&format!("\r\n\r\n{number}\n"));
    ensure(right && received.ending == Ending::Fin, || {
        format!("the answer to request {number} is {text:?}, ended by {:?}", received.ending)
    })
}

/// What curl prints for `url`.
///
/// # Errors
/// When it fails; the failure holds its messages.
pub(crate) fn curl(url: &str) -> Result<String> {
    run_curl(&[url])
}

/// What curl prints for the server behind a UNIX socket.
///
/// # Errors
/// When it fails; the failure holds its messages.
pub(crate) fn curl_unix(socket: &Path, url: &str) -> Result<String> {
    run_curl(&["--unix-socket", &socket.display().to_string(), url])
}

fn run_curl(args: &[&str]) -> Result<String> {
    let patience = PATIENCE.as_secs().to_string();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--globoff", "--max-time", &patience])
        .args(args)
        .output()
        .doing(|| "run curl".to_owned())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::Unexpected(format!("curl {}: {} {said}", args.join(" "), output.status)))
    }
}
