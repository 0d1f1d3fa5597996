//! The terminal: keys as they are pressed, a screen of its own, and all as it was afterwards.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use dormouse_sys::event_loop::register;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::keys::{Decoder, Key};
use super::render::{Line, Look};

/// The other screen, without a cursor, and lines that do not go on in the next one.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// All of that back.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal that tells each key and shows a screen of ours, as long as this lives.
#[derive(Debug)]
pub(super) struct Terminal {
    input: AsyncFd<OwnedFd>,
    decoder: Decoder,
    before: Termios,
}

/// Whether there is one.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Terminal {
    /// Takes standard input and output, which are to be a terminal.
    pub(super) fn open() -> io::Result<Self> {
        let input = register(io::stdin().as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // A read takes what is there, and never waits.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // From here on all is put back, whatever fails.
        let terminal = Self { input, decoder: Decoder::default(), before };
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        say(ENTER)?;
        Ok(terminal)
    }

    /// How wide and high it is now.
    pub(super) fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            // It does not know: what terminals had for long.
            _ => (80, 24),
        }
    }

    /// Shows these lines, from the top.
    pub(super) fn show(lines: &[Line]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (row, Line { text: words, look }) in lines.iter().enumerate() {
            let look = match look {
                Look::Plain => "",
                Look::Bold => "\x1b[1m",
                Look::Reverse => "\x1b[7m",
            };
            let newline = if row == 0 { "" } else { "\r\n" };
            // The rest is cleared first: behind a full line that would take its last character. A String takes whatever
            // is written to it.
            let _ = write!(text, "{newline}\x1b[K{look}{words}\x1b[m");
        }
        say(&text)
    }

    /// The keys that were pressed, when some were. An error when the terminal has gone.
    ///
    /// Loses nothing when it is dropped before it is ready.
    pub(super) async fn keys(&mut self) -> io::Result<Vec<Key>> {
        loop {
            let mut ready = self.input.readable().await?;
            let mut buffer = [0; 256];
            let read = match rustix::io::read(ready.get_inner(), &mut buffer) {
                // Somebody may have made it so that it says this where it said 0.
                Err(Errno::AGAIN) => 0,
                outcome => outcome?,
            };
            if read == 0 {
                if ready.ready().is_read_closed() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                ready.clear_ready();
                continue;
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            let keys: Vec<Key> = bytes.iter().filter_map(|byte| self.decoder.take(*byte)).collect();
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If the terminal has gone, there is nothing to put back.
        let _ = say(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
