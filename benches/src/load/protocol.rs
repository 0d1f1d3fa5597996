//! What a client process prints, and the exchange that most loads consist of.

use std::os::fd::OwnedFd;

use rustix::net::{RecvFlags, recv, send};

use crate::{
    error::{Error, ErrorContext, Result},
    net::SEND_FLAGS,
    process::send_line,
};

/// The size of a request and of its answer, in bytes.
pub(super) const MESSAGE: usize = 64;
/// Printed by a client after a first session was answered and closed: the proxy is up.
pub(super) const READY: &str = "ready";
/// Printed by a client at the start of the measured time.
pub(super) const BEGIN: &str = "begin";
/// Printed by a client at the end, followed by its results.
pub(super) const END: &str = "end";

/// Marks the start of the measured time.
pub(super) fn begin() -> Result<()> {
    send_line(BEGIN)
}

/// Prints the results.
pub(super) fn end(results: &[(&str, f64)]) -> Result<()> {
    let words: Vec<String> = results.iter().map(|(key, value)| format!("{key}={value}")).collect();
    send_line(&format!("{END} {}", words.join(" ")))
}

/// Sends one request and reads its answer on a blocking socket.
pub(super) fn exchange(socket: &OwnedFd) -> Result<()> {
    let mut answer = [0; MESSAGE];
    let mut received = 0;
    send(socket, &[b'q'; MESSAGE], SEND_FLAGS).context(|| "send a request".into())?;
    while received < MESSAGE {
        match recv(socket, answer.get_mut(received..).unwrap_or_default(), RecvFlags::empty()) {
            Ok((0, _)) => return Err(Error::Protocol("the session ended before its answer".into())),
            Ok((count, _)) => received += count,
            Err(error) => return Err(error).context(|| "read an answer".into()),
        }
    }
    Ok(())
}
