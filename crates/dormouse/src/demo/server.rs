//! The demo's web server: slow to start, quick to answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a real program does before it listens.
const START: Duration = Duration::from_secs(1);
/// A client that says nothing is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

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
    for line in BufReader::new(client).lines().take(100) {
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
