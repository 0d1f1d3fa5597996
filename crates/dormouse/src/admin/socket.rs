//! The control socket: a few clients at a time, each with bounded buffers and deadlines for all that it does.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::control::{Command, Line, LineBuffer, parse};
use dormouse_log::Level;
use dormouse_proxy::listener::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::answer::{Answer, answer};
use super::entrance::receive;
use super::running::Running;

/// So many clients at a time, as with `HAProxy`; further ones wait in the backlog.
pub(super) const CLIENTS: usize = 10;
/// A client that says nothing, or takes nothing, for so long is left (`HAProxy`'s stats timeout).
const PATIENCE: Duration = Duration::from_secs(10);
/// One that asked for a prompt is a person.
const PATIENCE_AT_A_PROMPT: Duration = Duration::from_secs(600);
/// All that one answer may take, however slowly it is read.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// So much is read at once.
const PIECE: usize = 4096;

/// Serves whoever comes.
pub(super) async fn serve(listener: Arc<Listener>, running: Arc<Running>) {
    let entrance = listener.socket().as_fd().try_clone_to_owned();
    match entrance.and_then(|socket| UnixListener::from_std(StdListener::from(socket))) {
        Ok(entrance) => receive(entrance, CLIENTS, |client| attend(client, Arc::clone(&running))).await,
        Err(error) => {
            running.log.line(Level::Err, format_args!("The control socket {listener} is lost: {error}"));
        }
    }
}

async fn attend(client: UnixStream, running: Arc<Running>) {
    // A client that fails, or is too slow, has only itself to tell.
    let _ = converse(client, &running).await;
}

/// What a client has asked for about its connection.
struct Manners {
    prompt: bool,
    patience: Duration,
}

async fn converse(mut client: UnixStream, running: &Running) -> io::Result<()> {
    let mut manners = Manners { prompt: false, patience: PATIENCE };
    let mut lines = LineBuffer::default();
    let mut buffer = vec![0; PIECE];
    loop {
        let room = buffer.len().min(lines.capacity());
        let into = buffer.get_mut(..room).unwrap_or_default();
        let count = timeout(manners.patience, client.read(into)).await??;
        if count == 0 {
            if let Some(line) = lines.finish() {
                obey(&mut client, running, line, &mut manners).await?;
            }
            return Ok(());
        }
        let mut piece = buffer.get(..count).unwrap_or_default();
        while !piece.is_empty() {
            let (line, rest) = lines.push(piece);
            piece = rest;
            let Some(line) = line else { continue };
            // Without a prompt one line is all that is answered, as with `HAProxy`.
            if !obey(&mut client, running, line, &mut manners).await? {
                client.shutdown().await?;
                return timeout(PATIENCE, read_off(&mut client, &mut buffer)).await?;
            }
        }
    }
}

/// Reads what is still said, and a little of what never ends: what nobody reads would take the answer away again.
async fn read_off(client: &mut UnixStream, buffer: &mut [u8]) -> io::Result<()> {
    const MOST: usize = 1 << 20;
    let mut read = 0;
    while read < MOST {
        match client.read(buffer).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// Answers a line; false if the connection ends then.
async fn obey(
    client: &mut UnixStream,
    running: &Running,
    line: Line,
    manners: &mut Manners,
) -> io::Result<bool> {
    let line = match line {
        Line::Complete(line) => line,
        Line::TooLong => {
            say(client, manners, "Command too long.\n\n").await?;
            return Ok(false);
        }
    };
    if manners.prompt && line.iter().all(u8::is_ascii_whitespace) {
        say(client, manners, "\n> ").await?;
        return Ok(true);
    }
    for command in parse(&line) {
        match &command {
            Ok(Command::Quit) => return Ok(false),
            Ok(Command::Prompt) => {
                manners.prompt = !manners.prompt;
                manners.patience = if manners.prompt { PATIENCE_AT_A_PROMPT } else { PATIENCE };
                say(client, manners, if manners.prompt { "\n> " } else { "\n" }).await?;
                continue;
            }
            Ok(Command::SetTimeout(patience)) => manners.patience = *patience,
            _ => {}
        }
        let answered = tell(client, running, manners, answer(running, command));
        timeout(LONGEST_ANSWER, answered).await??;
    }
    Ok(manners.prompt)
}

async fn tell(
    client: &mut UnixStream,
    running: &Running,
    manners: &Manners,
    mut answer: Answer,
) -> io::Result<()> {
    while let Some(piece) = answer.next(running) {
        say(client, manners, &piece).await?;
        // Whoever else has something to do comes first.
        yield_now().await;
    }
    say(client, manners, if manners.prompt { "\n> " } else { "\n" }).await
}

async fn say(client: &mut UnixStream, manners: &Manners, text: &str) -> io::Result<()> {
    timeout(manners.patience.min(LONGEST_ANSWER), client.write_all(text.as_bytes())).await?
}
