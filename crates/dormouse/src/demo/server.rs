//! The demo's web server: slow to start, quick to answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a real program does before it listens.
const START: Duration = Duration::from_secs(1);
/// A client that says nothing is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nor is more kept of what one says: a line may have no end.
const LONGEST: u64 = 64 << 10;

/// Serves until killed.
///
/// # Errors
/// When it cannot listen.
pub fn serve(socket: &Path) -> io::Result<()> {
    std::thread::sleep(START);
    // The one before may have been killed.
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
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    for line in BufReader::new(client.take(LONGEST)).lines().take(100) {
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
    fn a_line_without_an_end_is_answered_where_it_is_too_long() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client.write_all(&vec![b'a'; usize::try_from(LONGEST).unwrap()]).unwrap();
        // The client has not ended its stream: whoever goes on reading runs out of patience.
        answer(&server, 1, Duration::ZERO).unwrap();
        drop(server);
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    }
}
