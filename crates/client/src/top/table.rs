//! Tables and lines that fit the screen.

use dormouse_log::EscapedLine;

/// The style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    /// With exchanged colours.
    Reverse,
}

/// A line of the screen, at most as wide as the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// A column of a table.
pub(super) struct Column {
    title: &'static str,
    /// On a narrow screen the columns with the highest ranks are hidden first.
    rank: u8,
    /// The minimum width in characters, so that small changes do not move the columns.
    min_width: usize,
    align_right: bool,
}

/// Creates a column.
pub(super) const fn column(title: &'static str, rank: u8, min_width: usize, align_right: bool) -> Column {
    Column { title, rank, min_width, align_right }
}

/// Returns a header and the rows around the selected one, with the columns that fit.
pub(super) fn table(
    columns: &[Column],
    rows: Vec<Vec<String>>,
    selected: Option<usize>,
    selected_style: Style,
    (width, height): (usize, usize),
) -> Vec<Line> {
    let capacity = height.saturating_sub(1);
    // The selected row is in the middle, except near the first and the last row.
    let at = selected.unwrap_or(0);
    let first = at.saturating_sub(capacity / 2).min(rows.len().saturating_sub(capacity));
    let rows: Vec<Vec<String>> = rows.into_iter().skip(first).take(capacity).collect();
    let mut widths: Vec<usize> =
        columns.iter().map(|column| column.min_width.max(column.title.chars().count())).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(EscapedLine(cell).to_string().chars().count());
        }
    }
    // A long name must not hide the other columns.
    if let Some(name) = widths.first_mut() {
        *name = (*name).min((width / 3).max(12));
    }
    let shown = shown(columns, &widths, width);
    let joined = |cells: Vec<&str>| {
        let mut text = String::new();
        for (((cell, column), width), _) in
            cells.into_iter().zip(columns).zip(&widths).zip(&shown).filter(|(_, shown)| **shown)
        {
            let cell = clipped(cell, *width);
            let cell = if column.align_right { format!("{cell:>width$}") } else { format!("{cell:width$}") };
            text.push_str(&cell);
            text.push_str("  ");
        }
        text.trim_end().to_owned()
    };
    let head = joined(columns.iter().map(|column| column.title).collect());
    let mut lines = vec![line(Style::Bold, &head, width)];
    for (number, row) in rows.iter().enumerate() {
        let style = if Some(first + number) == selected { selected_style } else { Style::Plain };
        let mut line = line(style, &joined(row.iter().map(String::as_str).collect()), width);
        if style == Style::Reverse {
            // The bar is as wide as the screen.
            line.text = format!("{:width$}", line.text);
        }
        lines.push(line);
    }
    lines.truncate(height);
    lines
}

/// Returns for each column whether it fits.
fn shown(columns: &[Column], widths: &[usize], width: usize) -> Vec<bool> {
    let max_rank = columns.iter().map(|column| column.rank).max().unwrap_or(0);
    let within = |rank: u8| columns.iter().map(move |column| column.rank <= rank);
    let needed = |rank: u8| -> usize {
        widths.iter().zip(within(rank)).filter(|(_, shown)| *shown).map(|(w, _)| w + 2).sum()
    };
    // The last column needs no space after it.
    let rank = (0..=max_rank).rev().find(|rank| needed(*rank) <= width + 2).unwrap_or(0);
    within(rank).collect()
}

/// Returns a line that is clipped to a width.
pub(super) fn line(style: Style, text: &str, width: usize) -> Line {
    Line { text: clipped(text, width), style }
}

/// Returns a text, in which texts of others are escaped already, clipped to a width.
fn clipped(text: &str, width: usize) -> String {
    let text = EscapedLine(text).to_string();
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}
