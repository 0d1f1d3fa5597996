use std::sync::mpsc::{Receiver, Sender, channel};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::escape::is_special;

#[test]
fn parses_the_levels_of_systemd() {
    assert_eq!(Level::parse("debug"), Some(Level::Debug));
    assert_eq!(Level::parse("4"), Some(Level::Warning));
    assert_eq!(Level::parse("loud"), None);
}

/// Collects what is written.
struct Collected(Sender<String>);

impl Sink for Collected {
    fn write(&mut self, lines: &str) -> u64 {
        u64::from(self.0.send(lines.to_owned()).is_err())
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn accepts_batches(&self) -> bool {
        false
    }

    fn lost_notice(&self, lines: u64) -> String {
        format!("{lines} lost\n")
    }
}

/// Returns a log and what it writes.
fn collected(format: Format, native: bool) -> (Log, Receiver<String>) {
    let journal = native.then(Journal::unconnected);
    let log = Log::with(Some(Level::Debug), format, true, journal);
    let (send, written) = channel();
    log.inner.writer.set(Writer::new(Box::new(Collected(send)))).unwrap();
    (log, written)
}

#[test]
fn a_text_cannot_forge_a_line() {
    let (log, written) = collected(Format::Text, false);
    let status = "ready\r\n<3>other: starting → failed\x1b[2K";
    log.line(Level::Info, format_args!("web| STATUS={status}"));
    assert_eq!(
        written.recv().unwrap(),
        "<6>web| STATUS=ready\\u{d}\\u{a}<3>other: starting → failed\\u{1b}[2K\n"
    );
    log.line(Level::Info, format_args!("{}", "x".repeat(MAX_TEXT * 2)));
    assert_eq!(written.recv().unwrap().len(), "<6>…\n".len() + MAX_TEXT);
    let (log, written) = collected(Format::Json, false);
    log.line(Level::Info, format_args!("{status}{}", "\n".repeat(MAX_TEXT)));
    let line = written.recv().unwrap();
    let object: serde_json::Value = serde_json::from_str(line.strip_prefix("<6>").unwrap()).unwrap();
    let message = object["message"].as_str().unwrap();
    assert!(message.starts_with(status) && message.ends_with("\n…"), "{message}");
}

proptest! {
    #[test]
    fn no_special_character_reaches_the_sink(
        text in vec(any::<char>(), 0..64),
        client in vec(any::<char>(), 0..8),
        format in 0..3,
        native in any::<bool>(),
    ) {
        let (text, client) = (String::from_iter(text), String::from_iter(client));
        let format = [Format::Text, Format::Tcplog, Format::Json][usize::try_from(format).unwrap()];
        let (log, written) = collected(format, native);
        let log = log.for_service(&client);
        let mut fields = String::new();
        field(&mut fields, "DORMOUSE_CLIENT", &client);
        log.line(Level::Info, format_args!("{text}"));
        log.text(Level::Info, format_args!("{text}"), &fields);
        log.json(Level::Info, &format!("\"client\":{}", json_string(&client)), &fields);
        log.recurring(Recurring::Header, Level::Info, format_args!("{text}"));
        for _ in 0..4 {
            let entry = written.recv().unwrap();
            let lines: Vec<_> = entry.strip_suffix('\n').unwrap().split('\n').collect();
            prop_assert!(!lines.iter().any(|line| line.contains(is_special)), "{entry:?}");
            if native {
                let names: Vec<_> = lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
                prop_assert_eq!(&names[..3], ["PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE"]);
                let own = |name: &&&str| name.starts_with("DORMOUSE_");
                prop_assert_eq!(names.iter().skip(3).filter(own).count(), lines.len() - 3);
            } else {
                prop_assert_eq!(lines.len(), 1);
            }
        }
    }
}

#[test]
fn suppresses_and_counts_recurring_lines() {
    let log = Log::new(Some(Level::Err));
    for _ in 0..5 {
        log.recurring(Recurring::AtLimit, Level::Err, format_args!("a recurring line of a test"));
    }
    let recent = log.recent.lock().unwrap()[Recurring::AtLimit as usize];
    assert_eq!(recent.suppressed, 4);
}
