//! A row of `show stat` and its output formats.

use std::fmt::Write as _;

use dormouse_core::control::OutputFormat;
use dormouse_proxy::stats::cause::Cause;
use dormouse_proxy::stats::count::Counter;

use super::super::field::{Field, Value};
use super::super::running::RunningService;
use super::columns::COLUMNS;

/// A row: a frontend, a server or a backend.
#[derive(Debug)]
pub(in crate::admin) struct Row {
    letter: char,
    object: &'static str,
    iid: u32,
    sid: u32,
    values: Vec<Option<Value>>,
}

impl Row {
    /// Creates a row with the columns that every row has.
    pub(super) fn new(
        service: &RunningService,
        name: &str,
        (letter, object, kind): (char, &'static str, u64),
        iid: u32,
        sid: u32,
    ) -> Self {
        let mut row = Self { letter, object, iid, sid, values: COLUMNS.iter().map(|_| None).collect() };
        row.text("pxname", &service.name);
        row.text("svname", name);
        row.u32("pid", 1);
        row.u32("iid", iid.into());
        row.u32("sid", sid.into());
        row.u32("type", kind);
        row.text("mode", "tcp");
        row
    }

    /// Sets a column.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        let position = COLUMNS.iter().position(|(column, _)| *column == name);
        if let Some(position) = position.and_then(|position| self.values.get_mut(position)) {
            *position = Some(value);
        }
    }

    /// Sets a column to a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.set(name, Value::Text(value.to_owned()));
    }

    /// Sets a column to a number of 32 bits.
    pub(super) fn u32(&mut self, name: &str, value: u64) {
        self.set(name, Value::U32(value));
    }

    /// Sets a column to a number of 64 bits.
    pub(super) fn u64(&mut self, name: &str, value: u64) {
        self.set(name, Value::U64(value));
    }

    /// Sets columns to 0.
    pub(super) fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.u64(name, 0);
        }
    }

    /// Sets a column to a counter.
    pub(super) fn count(&mut self, name: &str, count: &Counter) {
        self.u64(name, count.get());
    }

    /// Sets the columns of traffic, which are the same for the frontend and the backend.
    pub(super) fn traffic(&mut self, service: &RunningService) {
        let counters = &service.stats().counters;
        self.u32("scur", counters.open.get());
        self.u32("smax", counters.max.get());
        self.u32("slim", u64::try_from(service.admission.cap()).unwrap_or(u64::MAX));
        self.count("stot", &counters.accepted);
        self.count("bin", &counters.bytes_in);
        self.count("bout", &counters.bytes_out);
        self.u64("dreq", counters.ends.get(Cause::NotAllowed));
    }

    /// Sets the columns of failed connections.
    pub(super) fn failures(&mut self, failures: u64, retries: u64, redispatches: u64) {
        self.u64("econ", failures);
        self.u64("wretr", retries);
        self.u64("wredis", redispatches);
    }

    /// Writes the row; `first`: it is the first of the answer.
    pub(in crate::admin) fn write(&self, format: OutputFormat, first: bool, text: &mut String) {
        let fields = self.values.iter().enumerate().filter_map(|(position, value)| {
            let (name, tags) = *COLUMNS.get(position)?;
            Some(Field { position, name, tags, value: value.clone()? })
        });
        match format {
            OutputFormat::Plain => {
                for value in &self.values {
                    if let Some(value) = value {
                        text.push_str(&value.csv());
                    }
                    text.push(',');
                }
                text.push('\n');
            }
            OutputFormat::Typed => {
                let object = format!("{}.{}.{}.", self.letter, self.iid, self.sid);
                fields.for_each(|field| field.typed(&object, text));
            }
            OutputFormat::Json => {
                let Self { object, iid, sid, .. } = self;
                let object = format!("\"objType\":\"{object}\",\"proxyId\":{iid},\"id\":{sid},");
                // Writing to a String cannot fail.
                let _ = write!(text, "{}[", if first { "" } else { "," });
                for (number, field) in fields.enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    field.json(&object, text);
                }
                text.push(']');
            }
        }
    }
}
