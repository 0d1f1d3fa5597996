//! The control socket: a few clients at a time, each with bounded buffers and deadlines for all that it does.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::control::{Command, Line, LineBuffer, parse};
use dormouse_log::Level;
use dormouse_proxy::listener::Listener;
use dormouse_sys::pass_rights::pass_rights;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::acceptor::receive;
use super::answer::{Answer, answer};
use super::local_stream::LocalStream;
use super::progress::{Progress, Watched};
use super::running::Running;

/// The number of clients at a time, as in `HAProxy`. For a further one a client without a command gives way.
pub(super) const CLIENTS: usize = 10;
/// A client that sends or takes nothing for this long is disconnected (`stats timeout` of `HAProxy`).
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same after `prompt`, when a person types.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest time for one answer, however slowly the client reads.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of bytes per read.
const MAX_READ: usize = 4096;

/// Serves the clients of the control socket.
pub(super) async fn serve(listener: Arc<Listener>, running: Arc<Running>) {
    // No command takes descriptors. Where the kernel cannot refuse them, the stream of a client gives them up.
    let _ = pass_rights(listener.socket(), false);
    let acceptor = listener.socket().as_fd().try_clone_to_owned();
    match acceptor.and_then(|socket| UnixListener::from_std(StdListener::from(socket))) {
        Ok(acceptor) => {
            receive(acceptor, CLIENTS, |client, progress| run_client(client, progress, Arc::clone(&running)))
                .await;
        }
        Err(error) => {
            running.log.line(Level::Err, format_args!("The control socket {listener} is lost: {error}"));
        }
    }
}

async fn run_client(client: LocalStream, progress: Progress, running: Arc<Running>) {
    // Errors of a client concern only that client.
    let _ = serve_client(Watched::new(client, progress.clone()), &progress, &running).await;
}

type Client = Watched<LocalStream>;

/// The settings of a connection, which the client may change.
struct ClientOptions {
    prompt: bool,
    idle_timeout: Duration,
}

async fn serve_client(mut client: Client, progress: &Progress, running: &Running) -> io::Result<()> {
    let mut options = ClientOptions { prompt: false, idle_timeout: TIMEOUT };
    let mut lines = LineBuffer::default();
    let mut buffer = vec![0; MAX_READ];
    loop {
        let room = buffer.len().min(lines.capacity());
        let into = buffer.get_mut(..room).unwrap_or_default();
        let count = timeout(options.idle_timeout, client.read(into)).await??;
        if count == 0 {
            if let Some(line) = lines.finish() {
                progress.begin_answer();
                execute(&mut client, running, line, &mut options).await?;
            }
            return Ok(());
        }
        let mut piece = buffer.get(..count).unwrap_or_default();
        while !piece.is_empty() {
            let (line, rest) = lines.push(piece);
            piece = rest;
            let Some(line) = line else { continue };
            progress.begin_answer();
            let goes_on = execute(&mut client, running, line, &mut options).await?;
            progress.end_answer();
            // Without a prompt only one line is answered, as in `HAProxy`.
            if !goes_on {
                client.shutdown().await?;
                return timeout(TIMEOUT, discard_input(&mut client, &mut buffer)).await?;
            }
        }
    }
}

/// Reads the remaining input, up to a limit: closing a socket with unread input would discard the answer.
async fn discard_input(client: &mut Client, buffer: &mut [u8]) -> io::Result<()> {
    const LIMIT: usize = 1 << 20;
    let mut read = 0;
    while read < LIMIT {
        match client.read(buffer).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// Executes the commands of a line. Returns false if the connection ends.
async fn execute(
    client: &mut Client,
    running: &Running,
    line: Line,
    options: &mut ClientOptions,
) -> io::Result<bool> {
    let line = match line {
        Line::Complete(line) => line,
        Line::TooLong => {
            send(client, options, "Command too long.\n\n").await?;
            return Ok(false);
        }
    };
    if options.prompt && line.iter().all(u8::is_ascii_whitespace) {
        send(client, options, "\n> ").await?;
        return Ok(true);
    }
    for command in parse(&line) {
        match &command {
            Ok(Command::Quit) => return Ok(false),
            Ok(Command::Prompt) => {
                options.prompt = !options.prompt;
                options.idle_timeout = if options.prompt { PROMPT_TIMEOUT } else { TIMEOUT };
                send(client, options, if options.prompt { "\n> " } else { "\n" }).await?;
                continue;
            }
            Ok(Command::SetTimeout(idle_timeout)) => options.idle_timeout = *idle_timeout,
            _ => {}
        }
        let answered = respond(client, running, options, answer(running, command));
        timeout(ANSWER_TIMEOUT, answered).await??;
    }
    Ok(options.prompt)
}

async fn respond(
    client: &mut Client,
    running: &Running,
    options: &ClientOptions,
    mut answer: Answer,
) -> io::Result<()> {
    while let Some(piece) = answer.next(running) {
        send(client, options, &piece).await?;
        // Sessions come first.
        yield_now().await;
    }
    send(client, options, if options.prompt { "\n> " } else { "\n" }).await
}

async fn send(client: &mut Client, options: &ClientOptions, text: &str) -> io::Result<()> {
    timeout(options.idle_timeout.min(ANSWER_TIMEOUT), client.write_all(text.as_bytes())).await?
}
