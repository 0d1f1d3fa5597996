//! The handshake before the first message.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No line of the handshake is longer.
const LINE: u64 = 512;

/// Has the other side take us for whom the kernel says we are: with no name of our own this works in user namespaces,
/// too.
pub(super) async fn authenticate(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    // All of it at once: systemd may read the end of the handshake and the first message together, and would then leave
    // the message lying until the next one comes.
    writer.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n").await?;
    loop {
        let mut line = Vec::new();
        (&mut *reader).take(LINE).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        match line.split_ascii_whitespace().next() {
            Some("DATA") => {}
            Some("OK") => return Ok(()),
            None => return Err(ErrorKind::UnexpectedEof.into()),
            Some(_) => {
                let reason = format!("it does not accept us: {}", line.trim_end());
                return Err(Error::new(ErrorKind::PermissionDenied, reason));
            }
        }
    }
}
