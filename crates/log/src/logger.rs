//! The log: level, format, rate limits.
//!
//! A separate thread writes the lines, so a slow reader loses lines but does not delay sessions.

use std::fmt;
use std::io::Stderr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::escape::{Bounded, Escaped, EscapedLine, json_string};
use crate::journal::{Journal, entry, field};
use crate::level::{Format, Level};
use crate::queue::{Sink, Writer};
use crate::recurring::{KINDS, Recurring};
use crate::sink::{LineWriter, write_stderr};
use crate::utc::Utc;

/// The minimum time between two lines of one recurring kind.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// The longest text of a line, in bytes: twice the longest line of a program's output.
const MAX_TEXT: usize = 8 << 10;

/// The log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    inner: Arc<Inner>,
    recent: Arc<Mutex<[Recent; KINDS]>>,
    /// The service that the lines belong to, for the journal.
    service: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inner {
    /// A [`Level`].
    level: AtomicU8,
    style: Arc<Style>,
    writer: OnceLock<Writer>,
}

/// The settings that decide how a line is written.
#[derive(Debug)]
struct Style {
    /// A [`Format`].
    format: AtomicU8,
    journal: bool,
    /// The journal, if lines are sent as entries with fields.
    native: Option<Journal>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    last_written: Option<Instant>,
    suppressed: u64,
}

/// The sink of the process: standard error, or the journal.
#[derive(Debug)]
struct Out {
    style: Arc<Style>,
    lines: LineWriter<Stderr>,
}

impl Log {
    /// Creates a log on standard error with a maximum level.
    pub fn new(level: Option<Level>) -> Self {
        Self::with(level, Format::Text, stderr_is_journal(), None)
    }

    /// Creates a log with a maximum level and a format. Where standard error is the journal, lines are sent as entries
    /// with fields.
    pub fn with_format(level: Option<Level>, format: Format) -> Self {
        let journal = stderr_is_journal();
        Self::with(level, format, journal, if journal { Journal::connect() } else { None })
    }

    fn with(level: Option<Level>, format: Format, journal: bool, native: Option<Journal>) -> Self {
        let level = AtomicU8::new(level_or_default(level) as u8);
        let style = Style { format: AtomicU8::new(format as u8), journal, native };
        let inner = Inner { level, style: Arc::new(style), writer: OnceLock::new() };
        Self { inner: Arc::new(inner), recent: Arc::default(), service: None }
    }

    /// Sets the maximum level for all clones of the log.
    pub fn set_level(&self, level: Option<Level>) {
        self.inner.level.store(level_or_default(level) as u8, Ordering::Relaxed);
    }

    /// Sets the format for all clones of the log.
    pub fn set_format(&self, format: Format) {
        self.inner.style.format.store(format as u8, Ordering::Relaxed);
    }

    /// Returns the same log with rate limits of its own.
    #[must_use]
    pub fn with_separate_limits(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), recent: Arc::default(), service: self.service.clone() }
    }

    /// Returns the same log for the lines of a service, with rate limits of its own.
    #[must_use]
    pub fn for_service(&self, service: &str) -> Self {
        Self { service: Some(Arc::from(service)), ..self.with_separate_limits() }
    }

    /// Returns whether lines carry journal fields.
    pub fn has_fields(&self) -> bool {
        self.inner.style.native.is_some()
    }

    /// Returns whether lines of a level are written.
    pub fn is_enabled(&self, level: Level) -> bool {
        level as u8 <= self.inner.level.load(Ordering::Relaxed)
    }

    /// Returns whether each session gets a line.
    pub fn logs_sessions(&self) -> bool {
        self.is_enabled(if self.format() == Format::Text { Level::Debug } else { Level::Info })
    }

    /// Returns the format of lines.
    pub fn format(&self) -> Format {
        self.inner.style.format()
    }

    /// Writes a line. A long text is cut.
    pub fn line(&self, level: Level, text: fmt::Arguments<'_>) {
        if self.is_enabled(level) && self.format() == Format::Json {
            let text = Bounded(text, MAX_TEXT).to_string();
            self.json(level, &format!(r#""message":{}"#, json_string(&text)), "");
        } else {
            self.text(level, text, "");
        }
    }

    /// Writes a line of which all texts of others are escaped already.
    pub fn escaped_line(&self, level: Level, text: &str) {
        if self.is_enabled(level) && self.format() == Format::Json {
            self.line(level, format_args!("{text}"));
        } else if self.is_enabled(level) {
            self.write_line(level, &Bounded(EscapedLine(text), MAX_TEXT).to_string(), "");
        }
    }

    /// Writes a JSON object with the time, the level and `members`, and with `fields` in the journal. The strings of the
    /// members are those of [`json_string`].
    pub fn json(&self, level: Level, members: &str, fields: &str) {
        if self.is_enabled(level) {
            let now = Utc(SystemTime::now());
            let object = format!(r#"{{"time":"{now}","level":"{level}",{members}}}"#);
            // JSON has its own escapes, and none of these is left.
            self.write_line(level, &EscapedLine(object).to_string(), fields);
        }
    }

    /// Writes a line in every format as text, with `fields` in the journal. A long text is cut.
    pub fn text(&self, level: Level, text: fmt::Arguments<'_>, fields: &str) {
        if self.is_enabled(level) {
            self.write_line(level, &Bounded(Escaped(text), MAX_TEXT).to_string(), fields);
        }
    }

    /// Writes a line that contains no special characters.
    fn write_line(&self, level: Level, text: &str, fields: &str) {
        if !self.has_fields() {
            return self.write(format!("{}{text}\n", self.inner.style.priority(level)));
        }
        let mut entry = entry(level, text, fields);
        if let Some(service) = &self.service {
            field(&mut entry, "DORMOUSE_SERVICE", service);
        }
        self.write(entry);
    }

    /// Writes a line of a recurring kind: the first one at once, then at most one in ten seconds with the number of lines
    /// suppressed since.
    pub fn recurring(&self, kind: Recurring, level: Level, text: fmt::Arguments<'_>) {
        if !self.is_enabled(level) {
            return;
        }
        let suppressed = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(recent) = recent.get_mut(kind as usize) else { return };
            let now = Instant::now();
            if recent.last_written.is_some_and(|last_written| now.duration_since(last_written) < MIN_INTERVAL)
            {
                recent.suppressed += 1;
                return;
            }
            recent.last_written = Some(now);
            std::mem::take(&mut recent.suppressed)
        };
        match suppressed {
            0 => self.line(level, text),
            1 => self.line(level, format_args!("{text} (1 similar line suppressed)")),
            count => self.line(level, format_args!("{text} ({count} similar lines suppressed)")),
        }
    }

    /// Waits until all lines are written, at most half a second: the reader may be stuck.
    pub fn flush(&self) {
        if let Some(writer) = self.inner.writer.get() {
            writer.flush(Duration::from_millis(500));
        }
    }

    fn write(&self, line: String) {
        let writer = self.inner.writer.get_or_init(|| {
            let style = Arc::clone(&self.inner.style);
            Writer::new(Box::new(Out { style, lines: LineWriter::new(std::io::stderr()) }))
        });
        writer.write(line);
    }
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Sink for Out {
    fn write(&mut self, lines: &str) -> u64 {
        match &self.style.native {
            Some(journal) => journal.send(lines),
            None => self.lines.lines(lines),
        }
    }

    fn is_writable(&self) -> bool {
        let stderr = std::io::stderr();
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        // The journal's queue may block.
        let is_stderr = self.style.native.is_none();
        is_stderr && poll(&mut polled, Some(&AT_ONCE)).is_ok_and(|ready| ready > 0)
    }

    /// A datagram is one entry.
    fn accepts_batches(&self) -> bool {
        self.style.native.is_none()
    }

    fn lost_notice(&self, lines: u64) -> String {
        self.style.lost_notice(lines)
    }
}

impl Style {
    fn format(&self) -> Format {
        let format = self.format.load(Ordering::Relaxed);
        let all = [Format::Tcplog, Format::Json];
        all.into_iter().find(|known| *known as u8 == format).unwrap_or_default()
    }

    fn priority(&self, level: Level) -> String {
        priority(self.journal, level)
    }

    /// Returns the line that reports the number of lost lines.
    fn lost_notice(&self, lines: u64) -> String {
        let priority = self.priority(Level::Warning);
        let noun = if lines == 1 { "line" } else { "lines" };
        let text = format!("{lines} log {noun} lost: the reader is too slow");
        if self.native.is_some() {
            return entry(Level::Warning, &text, "");
        }
        match self.format() {
            Format::Json => {
                let now = Utc(SystemTime::now());
                format!("{priority}{{\"time\":\"{now}\",\"level\":\"warning\",\"message\":\"{text}\"}}\n")
            }
            Format::Text | Format::Tcplog => format!("{priority}{text}\n"),
        }
    }
}

/// Writes lines to standard error where no [`Log`] exists, with this level as their priority if standard error is the
/// journal. Unlike `eprintln!` it does not block for long on a stuck reader and does not panic when the write fails.
pub fn write_stderr_lines(level: Option<Level>, lines: impl IntoIterator<Item: fmt::Display>) {
    let priority = level.map(|level| priority(stderr_is_journal(), level)).unwrap_or_default();
    let lines = lines.into_iter().map(|line| format!("{priority}{}\n", Bounded(EscapedLine(line), MAX_TEXT)));
    write_stderr(lines.collect());
}

fn priority(journal: bool, level: Level) -> String {
    if journal { format!("<{}>", level as u8) } else { String::new() }
}

/// Returns the given level, or `SYSTEMD_LOG_LEVEL`, or info.
fn level_or_default(level: Option<Level>) -> Level {
    let from_environment = || std::env::var("SYSTEMD_LOG_LEVEL").ok().and_then(|level| Level::parse(&level));
    level.or_else(from_environment).unwrap_or(Level::Info)
}

/// Returns whether standard error goes to the journal: `JOURNAL_STREAM` names its device and inode.
fn stderr_is_journal() -> bool {
    let matches = || {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let (device, inode) = stream.split_once(':')?;
        let stat = rustix::fs::fstat(std::io::stderr()).ok()?;
        Some(device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
    };
    matches().unwrap_or(false)
}

#[cfg(test)]
mod tests;
