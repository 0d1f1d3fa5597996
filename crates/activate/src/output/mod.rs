//! The output of started programs: a task of its own reads it, and writes lines to the log within the limit of the
//! workload.
//!
//! The task reads a bounded share at a time and then pauses, so that a program that writes without end takes neither the
//! event loop nor the queue of the log. What exceeds the limit is read and discarded at a lower pace. The program itself
//! is slowed down by its full pipe, but never stopped.

mod last_line;
mod limit;
mod lines;
mod workload_log;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_sys::event_loop::sleep_until;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::last_line::LastLine;
use self::lines::Lines;
pub(crate) use self::workload_log::WorkloadLog;

/// The pause after each read: at most some 4 MB are read in a second.
const READ_PAUSE: Duration = Duration::from_millis(1);
/// The size of a read that discards output, which is that of a pipe.
const DISCARD: usize = 64 << 10;
/// The pause after such a read: at most some 6 MB are discarded in a second.
const DISCARD_PAUSE: Duration = Duration::from_millis(10);

/// The reader of one program's output. Dropping it ends the reading.
#[derive(Debug)]
pub(crate) struct Output {
    task: JoinHandle<()>,
    last_line: Arc<Mutex<LastLine>>,
}

impl Output {
    /// Creates a pipe and starts to read it. Returns the end for the program, too.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(crate) fn start(log: WorkloadLog) -> io::Result<(OwnedFd, Self)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let pipe = Receiver::from_owned_fd(read)?;
        let last_line = Arc::<Mutex<LastLine>>::default();
        let reader = Reader { pipe, log, last_line: Arc::clone(&last_line), lines: Lines::default() };
        Ok((write, Self { task: tokio::spawn(reader.run()), last_line }))
    }

    /// Waits until all writers have closed the pipe and all output is read, at most for this time. Cancel safe.
    pub(crate) async fn finish(&mut self, limit: Duration) {
        if !self.task.is_finished() {
            let _ = timeout(limit, &mut self.task).await;
        }
    }

    /// Returns whether all writers have closed the pipe, and all output is read.
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Returns the last line so far.
    pub(crate) fn last_line(&self) -> LastLine {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that reads.
struct Reader {
    pipe: Receiver,
    log: WorkloadLog,
    last_line: Arc<Mutex<LastLine>>,
    lines: Lines,
}

impl Reader {
    async fn run(mut self) {
        loop {
            let discard = self.log.is_exhausted();
            let report = self.log.report_due();
            let pause = tokio::select! {
                // An error of the pipe counts as its end.
                read = read(&mut self.pipe, &mut self.lines, discard) => match read {
                    Some(discarded) => self.handle(&discarded),
                    None => break,
                },
                () = sleep_until(report) => {
                    self.log.report();
                    continue;
                }
            };
            sleep(pause).await;
        }
        self.lines.end();
        self.handle(&[]);
        self.log.report();
    }

    /// Logs what was read, and returns the time until the next read.
    fn handle(&mut self, discarded: &[u8]) -> Duration {
        let mut last_line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if !discarded.is_empty() {
            last_line.update_from(discarded);
            self.log.discard(discarded);
            self.lines.skip(discarded);
            return DISCARD_PAUSE;
        }
        while let Some(line) = self.lines.next() {
            last_line.update(&line);
            self.log.output(&line);
        }
        READ_PAUSE
    }
}

/// Reads lines, or else output that is to be discarded, which is returned. Returns `None` at the end. Cancel safe.
async fn read(pipe: &mut Receiver, lines: &mut Lines, discard: bool) -> Option<Vec<u8>> {
    if !discard {
        let space = lines.space();
        let length = pipe.take(space).read_buf(lines.buffer()).await.ok()?;
        return (length > 0).then(Vec::new);
    }
    pipe.readable().await.ok()?;
    let mut discarded = vec![0; DISCARD];
    match pipe.try_read(&mut discarded) {
        Ok(0) => None,
        Ok(length) => {
            discarded.truncate(length);
            Some(discarded)
        }
        // Readable by mistake: nothing was read, and the caller reads again.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Vec::new()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::lines::MAX_LINE;
    use super::*;
    use crate::LogLine;
    use std::io::Write;

    /// Returns a log and the lines in it.
    fn collected() -> (WorkloadLog, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let into = Arc::clone(&lines);
        let log = WorkloadLog::new(Arc::new(move |line: LogLine<'_>| {
            into.lock().unwrap().push(match line {
                LogLine::Output(text) => text.to_owned(),
                LogLine::Notice(text) => format!("notice: {text}"),
                LogLine::Warning(text) => format!("warning: {text}"),
            });
        }));
        (log, lines)
    }

    #[tokio::test]
    async fn lines_are_logged_until_the_end() {
        let (log, lines) = collected();
        let (write, mut output) = Output::start(log).unwrap();
        let mut write = std::fs::File::from(write);
        write.write_all(b"one\r\n\ntwo\n\xff\nrest").unwrap();
        drop(write);
        output.finish(Duration::from_secs(20)).await;
        assert!(output.is_finished());
        assert_eq!(*lines.lock().unwrap(), ["one", "", "two", "\u{fffd}", "rest"]);
        assert_eq!(output.last_line().to_string(), "; its last output was \"rest\"");
    }

    #[tokio::test]
    async fn a_program_without_end_is_limited_and_not_stopped() {
        let (log, lines) = collected();
        let (write, mut output) = Output::start(log).unwrap();
        // More than the limit of lines, of the log's queue and of the pipe.
        let written = 100_000;
        let writer = std::thread::spawn(move || {
            let mut write = std::fs::File::from(write);
            let text = "y\n".repeat(1000);
            for _ in 0..written / 1000 {
                write.write_all(text.as_bytes()).unwrap();
            }
            write.write_all(b"the end\n").unwrap();
        });
        output.finish(Duration::from_secs(60)).await;
        writer.join().unwrap();
        let lines = lines.lock().unwrap();
        let logged = lines.iter().filter(|line| *line == "y").count();
        assert_eq!(logged, 10_000);
        // Unless a period has ended meanwhile, one line reports the rest.
        let suppressed = written + 1 - logged;
        let report = lines.iter().find(|line| line.starts_with("warning: ")).unwrap();
        assert!(report.contains(&format!("suppressed {suppressed} lines")), "{report}");
        assert_eq!(output.last_line().to_string(), "; its last output was \"the end\"");
    }

    /// Each read takes as many lines as there are. With one a read, a program of many short lines waited for its full pipe.
    #[tokio::test(start_paused = true)]
    async fn a_full_pipe_is_read_in_few_reads() {
        let (log, lines) = collected();
        let (write, mut output) = Output::start(log).unwrap();
        let mut write = std::fs::File::from(write);
        let line = format!("{}\n", "x".repeat(199));
        write.write_all(line.repeat(300).as_bytes()).unwrap();
        drop(write);
        let began = tokio::time::Instant::now();
        output.finish(Duration::from_secs(20)).await;
        assert_eq!(lines.lock().unwrap().len(), 300);
        // The clock stands still but for the pauses.
        assert!(began.elapsed() < 50 * READ_PAUSE, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn other_tasks_run_between_two_reads() {
        let (log, lines) = collected();
        let (write, output) = Output::start(log).unwrap();
        let mut write = std::fs::File::from(write);
        write.write_all("y\n".repeat(DISCARD / 2).as_bytes()).unwrap();
        // The most lines that the reader has logged before this task gets its turn again.
        let mut most = 0;
        let mut before = 0;
        while before < 10_000 {
            tokio::task::yield_now().await;
            let now = lines.lock().unwrap().len();
            most = most.max(now - before);
            before = now;
        }
        assert!(most <= MAX_LINE / 2, "{most} lines at a time");
        drop(output);
    }
}
