//! Waits until a program listens.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, ErrorContext, Result},
    net::Endpoint,
    process::Running,
};

/// Waits until the kernel lists the socket as listening. A test connection would count as a session.
pub(super) fn wait_until_listening(front: &Endpoint, mut running: Option<&mut Running>) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let until = Instant::now() + TIMEOUT;
    while Instant::now() < until {
        if let Some(running) = &mut running {
            running.check()?;
        }
        if is_listening(front)? {
            return Ok(());
        }
        sleep(Duration::from_millis(2));
    }
    Err(Error::Timeout { awaited: format!("a listener at {front}"), after: TIMEOUT })
}

fn is_listening(endpoint: &Endpoint) -> Result<bool> {
    let (list, words) = match endpoint {
        // Local port, no remote address, state LISTEN.
        Endpoint::Tcp(at) => {
            ("/proc/net/tcp", [format!(":{:04X} 00000000:0000 0A ", at.port()), String::new()])
        }
        // Flag ACCEPTCON, path.
        Endpoint::Unix(path) => ("/proc/net/unix", [" 00010000 ".into(), format!(" {}", path.display())]),
    };
    // The socket may listen under a temporary name first.
    if matches!(endpoint, Endpoint::Unix(path) if !path.exists()) {
        return Ok(false);
    }
    let text = fs::read_to_string(list).context(|| format!("read {list}"))?;
    Ok(text.lines().any(|line| words.iter().all(|word| line.contains(word.as_str()))))
}
