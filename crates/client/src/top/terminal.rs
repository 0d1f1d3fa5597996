//! The terminal in raw mode with the alternate screen. Dropping it restores the previous state.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use dormouse_sys::event_loop::register;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::keys::{Decoder, Key};
use super::table::{Line, Style};

/// Selects the alternate screen, without a cursor and without line wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// Reverts [`ENTER`].
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal in raw mode with the alternate screen.
#[derive(Debug)]
pub(super) struct Terminal {
    input: AsyncFd<OwnedFd>,
    decoder: Decoder,
    /// The settings to restore.
    original: Termios,
}

/// Returns whether standard input and output are a terminal.
pub(super) fn is_available() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Terminal {
    /// Opens the terminal of standard input and output.
    pub(super) fn open() -> io::Result<Self> {
        let input = register(io::stdin().as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        let original = tcgetattr(io::stdin())?;
        let mut raw = original.clone();
        raw.make_raw();
        // A read returns the available bytes, and never waits.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // From here on a failure restores the settings.
        let terminal = Self { input, decoder: Decoder::default(), original };
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        print(ENTER)?;
        Ok(terminal)
    }

    /// Returns the width and the height in characters.
    pub(super) fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            // The terminal does not report its size: the traditional default.
            _ => (80, 24),
        }
    }

    /// Shows these lines, from the top.
    pub(super) fn show(lines: &[Line]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (row, Line { text: content, style }) in lines.iter().enumerate() {
            let style = match style {
                Style::Plain => "",
                Style::Bold => "\x1b[1m",
                Style::Reverse => "\x1b[7m",
            };
            let newline = if row == 0 { "" } else { "\r\n" };
            // The line is cleared first: clearing after a full line would erase its last character. Writing to a
            // String cannot fail.
            let _ = write!(text, "{newline}\x1b[K{style}{content}\x1b[m");
        }
        print(&text)
    }

    /// Waits for keys. Cancel safe.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) async fn keys(&mut self) -> io::Result<Vec<Key>> {
        loop {
            let mut ready = self.input.readable().await?;
            let mut buffer = [0; 256];
            let read = match rustix::io::read(ready.get_inner(), &mut buffer) {
                // If another program made the descriptor non-blocking, the kernel returns this in place of 0.
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
        // If the terminal is gone, there is nothing to restore.
        let _ = print(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.original);
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
