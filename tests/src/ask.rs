//! Sends one command to a control socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::Result;
use crate::failure::Doing;
use crate::wait::SOON;

/// Sends a line to the control socket at `path` and returns the answer.
///
/// # Errors
/// When no program answers on the socket in time.
pub fn ask(path: &Path, line: &str) -> Result<String> {
    let mut socket = UnixStream::connect(path).doing(|| format!("connect to {}", path.display()))?;
    socket.set_read_timeout(Some(SOON)).doing(|| "set a timeout".to_owned())?;
    socket.write_all(format!("{line}\n").as_bytes()).doing(|| format!("send {line}"))?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).doing(|| format!("read the answer to {line}"))?;
    Ok(answer)
}
