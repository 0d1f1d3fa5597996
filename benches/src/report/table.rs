//! Markdown tables, aligned for reading as plain text.

use std::fmt::Write as _;

use super::statistics::{Ratio, median, ratio};
use crate::{
    metric::{self, Kind, Metric},
    plan::Plan,
    results::Results,
    subjects::{DIRECT, DORMOUSE, HAPROXY, NGINX, SOCKET_PROXYD},
    transport::Transport,
};

const NO_VALUE: &str = "–";

/// Returns the medians with their units.
pub(super) fn absolute(plan: &Plan, results: &Results) -> String {
    let mut text = String::new();
    for &transport in &plan.transports {
        let mut table = Table::new(&["median", "unit"], plan);
        for metric in measured(results, plan, transport) {
            let cells = plan.subjects.iter().map(|subject| {
                let values = results.of(metric.key, transport, &subject.name);
                median(values).map_or_else(|| NO_VALUE.into(), format_value)
            });
            table.row([metric.title.into(), metric.unit.symbol().into()].into_iter().chain(cells));
        }
        let _ = writeln!(text, "{transport}\n\n{table}", table = table.render());
    }
    text
}

/// Returns the tables for the documentation.
pub(super) fn ratios(plan: &Plan, results: &Results) -> String {
    let mut text = String::new();
    for &transport in &plan.transports {
        let _ = writeln!(text, "### {transport}\n");
        for (kind, title) in
            [(Kind::Speed, "no proxy = 1"), (Kind::Cost, "original = 1"), (Kind::Absolute, "absolute")]
        {
            let mut table = Table::new(&[title], plan);
            for metric in measured(results, plan, transport).filter(|metric| metric.kind == kind) {
                let cells =
                    plan.subjects.iter().map(|subject| cell(metric, transport, &subject.name, results));
                table.row(std::iter::once(metric.title.into()).chain(cells));
            }
            if !table.is_empty() {
                let _ = writeln!(text, "{}", table.render());
            }
        }
        if let Some(table) = comparison(plan, results, transport) {
            let _ = writeln!(text, "{}", table.render());
        }
    }
    text
}

fn cell(metric: &Metric, transport: Transport, subject: &str, results: &Results) -> String {
    let values = results.of(metric.key, transport, subject);
    let base = match metric.kind {
        Kind::Speed => DIRECT,
        Kind::Cost => SOCKET_PROXYD,
        Kind::Absolute => return median(values).map_or_else(|| NO_VALUE.into(), format_value),
    };
    let shown = ratio(values, results.of(metric.key, transport, base));
    shown.map_or_else(|| NO_VALUE.into(), |ratio| format!("{:.2}", ratio.of_medians))
}

/// Returns the ratios of dormouse to its main peers, with the spread over the rounds.
fn comparison(plan: &Plan, results: &Results, transport: Transport) -> Option<Table> {
    const MAIN_PEERS: [&str; 3] = [SOCKET_PROXYD, HAPROXY, NGINX];
    let mut table = Table::titled(&["dormouse", "/ original", "/ haproxy", "/ nginx", "/ best peer"]);
    for metric in measured(results, plan, transport).filter(|metric| metric.kind != Kind::Absolute) {
        let dormouse = results.of(metric.key, transport, DORMOUSE);
        if dormouse.is_empty() {
            continue;
        }
        let mut cells = vec![metric.title.to_owned()];
        cells.extend(
            MAIN_PEERS.iter().map(|peer| spread(ratio(dormouse, results.of(metric.key, transport, peer)))),
        );
        let best = best_peer(metric, plan, results, transport);
        cells.push(best.map_or_else(
            || NO_VALUE.into(),
            |best| format!("{} {best}", spread(ratio(dormouse, results.of(metric.key, transport, best)))),
        ));
        table.row(cells);
    }
    (!table.is_empty()).then_some(table)
}

/// Returns the peer with the best median. Other builds of dormouse are not peers.
pub(super) fn best_peer<'p>(
    metric: &Metric,
    plan: &'p Plan,
    results: &Results,
    transport: Transport,
) -> Option<&'p str> {
    let peers = plan.subjects.iter().filter(|subject| subject.is_peer()).map(|subject| subject.name.as_str());
    best_of(metric, results, transport, peers)
}

/// Returns the subject with the best median.
pub(super) fn best_of<'n>(
    metric: &Metric,
    results: &Results,
    transport: Transport,
    names: impl Iterator<Item = &'n str>,
) -> Option<&'n str> {
    let better =
        |a: &f64, b: &f64| if metric.unit.higher_is_better() { a.total_cmp(b) } else { b.total_cmp(a) };
    names
        .filter_map(|name| Some((name, median(results.of(metric.key, transport, name))?)))
        .max_by(|(_, a), (_, b)| better(a, b))
        .map(|(name, _)| name)
}

fn spread(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(
        || NO_VALUE.into(),
        |Ratio { of_medians, spread: (low, high) }| {
            let range = if low < high { format!(" ({low:.2}–{high:.2})") } else { String::new() };
            format!("{of_medians:.2}{range}")
        },
    )
}

/// Returns a description of the machine and the programs.
pub(super) fn environment(plan: &Plan) -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let plural = if plan.rounds == 1 { "" } else { "s" };
    let mut text = format!(
        "Linux {}, {cores} cores, {} round{plural}, seed {}. The programs:\n\n",
        kernel.trim(),
        plan.rounds,
        plan.seed
    );
    for subject in plan.subjects.iter().skip(1) {
        let _ = writeln!(text, "- {}: {}", subject.name, subject.version());
    }
    text
}

/// Returns the metrics that have a value for any subject.
fn measured<'r>(
    results: &'r Results,
    plan: &'r Plan,
    transport: Transport,
) -> impl Iterator<Item = &'static Metric> + 'r {
    metric::ALL.iter().copied().filter(move |metric| {
        plan.subjects.iter().any(|subject| !results.of(metric.key, transport, &subject.name).is_empty())
    })
}

/// Formats a value with three significant digits, or as an integer.
pub(super) fn format_value(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with the given columns and one column for each subject.
    fn new(first: &[&str], plan: &Plan) -> Self {
        let names = plan.subjects.iter().map(|subject| subject.name.as_str());
        let title: Vec<&str> = first.iter().copied().chain(names).collect();
        Self::titled(&title)
    }

    fn titled(title: &[&str]) -> Self {
        Self { rows: vec![title.iter().map(|&word| word.to_owned()).collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Returns the text, without columns that have no value.
    fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let is_kept = |column: &usize| {
            self.rows.iter().skip(1).filter_map(|row| row.get(*column)).any(|cell| cell != NO_VALUE)
        };
        let kept: Vec<usize> = (0..columns).filter(is_kept).collect();
        let width = |&column: &usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            (column, cells.map(|cell| cell.chars().count()).max().unwrap_or(0))
        };
        let widths: Vec<(usize, usize)> = kept.iter().map(width).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            for &(column, width) in &widths {
                let cell = row.get(column).map_or("", String::as_str);
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if index == 0 {
                for &(column, width) in &widths {
                    let colon = if column == 0 { "-" } else { ":" };
                    let _ = write!(text, "| {}{colon} ", "-".repeat(width.saturating_sub(1)));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_leaves_empty_columns_out() {
        let mut table = Table::titled(&["what", "direct", "a"]);
        table.row(["µs".to_owned(), NO_VALUE.to_owned(), "1.00".to_owned()]);
        assert_eq!(table.render(), "| what | a    |\n| ---- | ---: |\n| µs   | 1.00 |\n");
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.0, 0.0123, 0.5, 2.5, 34.56, 123.4, 20_000.4].map(format_value),
            ["0", "0.012", "0.50", "2.50", "34.6", "123", "20000"]
        );
    }
}
