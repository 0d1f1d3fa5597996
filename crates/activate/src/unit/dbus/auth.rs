//! The authentication handshake before the first message.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest line of the handshake, in bytes.
const MAX_AUTH_LINE: u64 = 512;

/// Authenticates by the credentials that the kernel reports. An empty name also works in user namespaces.
pub(super) async fn authenticate(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    // The whole handshake in one write: otherwise systemd may read its end together with the first message, and would
    // not process that message before the next one arrives.
    writer.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n").await?;
    loop {
        let mut line = Vec::new();
        (&mut *reader).take(MAX_AUTH_LINE).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        match line.split_ascii_whitespace().next() {
            Some("DATA") => {}
            Some("OK") => return Ok(()),
            None => return Err(ErrorKind::UnexpectedEof.into()),
            Some(_) => {
                let reason = format!("authentication failed: {}", line.trim_end());
                return Err(Error::new(ErrorKind::PermissionDenied, reason));
            }
        }
    }
}
