//! The text format of Prometheus and `OpenMetrics`.

use std::fmt::Write as _;

use dormouse_proxy::stats::count::{BOUNDS, Histogram};

/// The type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text of the exposition. Names of services and servers need no escapes: they consist of letters, digits, '-', '_'
/// and '.'.
pub(super) struct Exposition {
    text: String,
    /// The format is `OpenMetrics`, where the name of a counter's family has no `_total`.
    openmetrics: bool,
    family: &'static str,
    /// The suffix of the names of samples.
    suffix: &'static str,
}

impl Exposition {
    /// Creates an empty text in the format of Prometheus or in `OpenMetrics`.
    pub(super) fn new(openmetrics: bool) -> Self {
        Self { text: String::new(), openmetrics, family: "", suffix: "" }
    }

    /// Returns the finished text.
    pub(super) fn finish(mut self) -> String {
        if self.openmetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let (kind, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        let shown = if self.openmetrics { "" } else { suffix };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name}{shown} {help}\n# TYPE {name}{shown} {kind}");
        self.suffix = suffix;
    }

    /// Writes a sample that is a whole number.
    pub(super) fn number(&mut self, labels: &str, value: u64) {
        self.sample(labels, &value.to_string());
    }

    /// Writes a sample.
    pub(super) fn value(&mut self, labels: &str, value: f64) {
        self.sample(labels, &format!("{value}"));
    }

    fn sample(&mut self, labels: &str, value: &str) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}{}{open}{labels}{close} {value}", self.family, self.suffix);
    }

    /// Writes the buckets, the sum and the count of a histogram.
    pub(super) fn histogram(&mut self, labels: &str, histogram: &Histogram) {
        let name = self.family;
        let counts = histogram.cumulative();
        let bounds = BOUNDS.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let count = counts.last().copied().unwrap_or(0);
        let sum = histogram.sum().as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}
