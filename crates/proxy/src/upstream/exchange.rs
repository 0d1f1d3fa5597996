//! A short exchange that shows whether a server answers: some bytes to it, and some that it must send.

use dormouse_relay::Stream;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// The maximum number of bytes of an answer that are searched.
const MAX_ANSWER: usize = 4096;

/// Sends `request`, and returns whether `expected` is part of the answer. Without expected bytes the request alone is
/// enough. The connection is closed afterwards.
pub(super) async fn exchange(mut server: Stream, request: &[u8], expected: &[u8]) -> bool {
    let Some(socket) = server.socket() else { return false };
    if !request.is_empty() && send(socket, request, SendFlags::NOSIGNAL) != Ok(request.len()) {
        return false;
    }
    if expected.is_empty() {
        return true;
    }
    let mut answer = Vec::new();
    while answer.len() < MAX_ANSWER && server.wait_for_data().await {
        let mut chunk = [0; 1024];
        match server.receive(&mut chunk) {
            Ok(length) => answer.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return false,
        }
        if answer.windows(expected.len()).any(|window| window == expected) {
            return true;
        }
    }
    false
}
