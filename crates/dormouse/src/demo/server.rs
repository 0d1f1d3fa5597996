//! The demo's web server: slow to start, quick to answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time that a real program needs before it listens.
const START: Duration = Duration::from_secs(1);
/// A silent client is disconnected after this time.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request, in bytes: a line may have no end.
const MAX_REQUEST: u64 = 64 << 10;

/// Serves until killed.
///
/// # Errors
/// When it cannot listen.
pub fn serve(socket: &Path) -> io::Result<()> {
    std::thread::sleep(START);
    // The previous server may have been killed.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    let awake = Instant::now();
    for (count, client) in (1u64..).zip(listener.incoming()) {
        // A client that leaves is no reason to end.
        let _ = client.and_then(|client| answer(&client, count, awake.elapsed()));
    }
    Ok(())
}

fn answer(client: &UnixStream, count: u64, awake: Duration) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    client.set_write_timeout(Some(TIMEOUT))?;
    for line in BufReader::new(client.take(MAX_REQUEST)).lines().take(100) {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!(
        "Good morning! Awake for {:.1} s, and this is request {count} since then.\n",
        awake.as_secs_f64()
    );
    write!(
        &mut &*client,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_too_long_is_answered() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.set_write_timeout(Some(TIMEOUT)).unwrap();
        client.write_all(&vec![b'a'; usize::try_from(MAX_REQUEST).unwrap()]).unwrap();
        // The client has not ended its stream: further reading would time out.
        answer(&server, 1, Duration::ZERO).unwrap();
        drop(server);
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    }
}
