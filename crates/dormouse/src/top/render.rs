//! From what is known to the lines of a screen.

use super::model::{Focus, Model};
use super::snapshot::Flow;
use crate::client::fields::span;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Bold,
    /// Light on dark and the other way round.
    Reverse,
}

/// A line of the screen, as wide as the screen at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) look: Look,
}

/// A column of a table.
struct Column {
    title: &'static str,
    /// Where there is no room for all, columns with high numbers go first.
    rank: u8,
    /// So many characters at least, that it does not dance.
    least: usize,
    right: bool,
}

const fn column(title: &'static str, rank: u8, least: usize, right: bool) -> Column {
    Column { title, rank, least, right }
}

const SERVICES: [Column; 9] = [
    column("SERVICE", 0, 8, false),
    column("STATE", 1, 8, false),
    column("SINCE", 6, 9, false),
    column("SESSIONS", 2, 8, true),
    column("WAITING", 3, 7, true),
    column("SESS/S", 7, 6, true),
    column("IN/S", 5, 6, true),
    column("OUT/S", 5, 6, true),
    column("NEXT", 4, 0, false),
];

const SESSIONS: [Column; 7] = [
    column("CLIENT", 0, 15, false),
    column("SERVER", 5, 8, false),
    column("AGE", 1, 6, true),
    column("IN", 4, 6, true),
    column("OUT", 4, 6, true),
    column("IN/S", 3, 6, true),
    column("OUT/S", 3, 6, true),
];

const HELP: [&str; 13] = [
    "Up, Down, k, j   select",
    "Enter, Tab       between services and sessions",
    "s                order: by name, sessions, rate (bytes in a second)",
    "w                wake the selected service",
    "z                put it to sleep, if nobody uses it",
    "f                freeze it, if nobody uses it",
    "t                thaw it",
    "d                drain it: no new sessions",
    "x, then y        end the selected session",
    "h, ?             this help",
    "q                quit",
    "",
    "Any key goes back.",
];

/// What a screen of this size shows: as many lines as it is high at most.
pub(super) fn render(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let mut lines = vec![line(Look::Bold, &title(model), width)];
    let body = height.saturating_sub(2);
    if model.help {
        lines.extend(HELP.iter().take(body).map(|text| line(Look::Plain, text, width)));
    } else {
        // The sessions get half of it, or what the services leave.
        let needed = model.services().len() + 1;
        let below = body.saturating_sub(needed).max(body / 2);
        let above = needed.min(body - below);
        lines.extend(services(model, width, above));
        lines.extend(sessions(model, width, below));
    }
    // The last line stays the last.
    lines.resize(height.saturating_sub(1), Line { text: String::new(), look: Look::Plain });
    if height > 0 {
        lines.push(foot(model, width));
    }
    lines
}

fn title(model: &Model) -> String {
    let now = &model.now;
    format!(
        "dormouse {}, up {}, {} of {} sessions, by {}",
        now.version,
        span(now.uptime),
        now.open,
        now.limit,
        model.sort.name()
    )
}

fn foot(model: &Model, width: usize) -> Line {
    if !model.message.is_empty() {
        return line(Look::Bold, &model.message, width);
    }
    match &model.trouble {
        Some(trouble) => line(Look::Bold, trouble, width),
        None => line(Look::Plain, "h help  q quit  s order  Enter services/sessions", width),
    }
}

fn services(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let services = model.services();
    let rows = services.iter().map(|service| {
        let flow = model.rates.services.get(&service.name);
        let tenths = |flow: &Flow| format!("{}.{}", flow.sessions / 10, flow.sessions % 10);
        vec![
            service.name.clone(),
            service.state.clone(),
            span(service.since),
            service.sessions.to_string(),
            service.waiting.to_string(),
            flow.map_or_else(unknown, tenths),
            flow.map_or_else(unknown, |flow| size(flow.bytes.up)),
            flow.map_or_else(unknown, |flow| size(flow.bytes.down)),
            service.next.clone(),
        ]
    });
    let look = if model.focus == Focus::Services { Look::Reverse } else { Look::Bold };
    table(&SERVICES, rows.collect(), model.service_at(), look, (width, height))
}

fn sessions(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let sessions = model.sessions();
    let about = match (model.service(), &model.now.sessions) {
        (None, _) => "There is no service.".to_owned(),
        (Some(_), None) => "There are too many sessions to list them each time.".to_owned(),
        (Some(name), Some(_)) => format!("Sessions of {name}: {}", sessions.len()),
    };
    let rows = sessions.iter().map(|session| {
        let flow = model.rates.sessions.get(&session.id);
        vec![
            session.client.clone(),
            session.server.clone(),
            session.age.clone(),
            size(session.bytes.up),
            size(session.bytes.down),
            flow.map_or_else(unknown, |flow| size(flow.bytes.up)),
            flow.map_or_else(unknown, |flow| size(flow.bytes.down)),
        ]
    });
    let look = if model.focus == Focus::Sessions { Look::Reverse } else { Look::Plain };
    let mut lines = vec![line(Look::Plain, "", width), line(Look::Bold, &about, width)];
    if !sessions.is_empty() {
        let left = height.saturating_sub(lines.len());
        lines.extend(table(&SESSIONS, rows.collect(), model.session_at(), look, (width, left)));
    }
    lines.truncate(height);
    lines
}

/// A head and the rows around the selected one, with the columns for which there is room.
fn table(
    columns: &[Column],
    rows: Vec<Vec<String>>,
    selected: Option<usize>,
    look: Look,
    (width, height): (usize, usize),
) -> Vec<Line> {
    let room = height.saturating_sub(1);
    // The selected row is in the middle, but at the ends.
    let at = selected.unwrap_or(0);
    let first = at.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let rows: Vec<Vec<String>> = rows.into_iter().skip(first).take(room).collect();
    let mut widths: Vec<usize> =
        columns.iter().map(|column| column.least.max(column.title.chars().count())).collect();
    for row in &rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = (*most).max(cell.chars().count());
        }
    }
    // A long name leaves room for others.
    if let Some(name) = widths.first_mut() {
        *name = (*name).min((width / 3).max(12));
    }
    let shown = shown(columns, &widths, width);
    let joined = |cells: Vec<&str>| {
        let mut text = String::new();
        for (((cell, column), most), _) in
            cells.into_iter().zip(columns).zip(&widths).zip(&shown).filter(|(_, shown)| **shown)
        {
            let cell = clipped(cell, *most);
            let cell = if column.right { format!("{cell:>most$}") } else { format!("{cell:most$}") };
            text.push_str(&cell);
            text.push_str("  ");
        }
        text.trim_end().to_owned()
    };
    let head = joined(columns.iter().map(|column| column.title).collect());
    let mut lines = vec![line(Look::Bold, &head, width)];
    for (number, row) in rows.iter().enumerate() {
        let look = if Some(first + number) == selected { look } else { Look::Plain };
        let mut line = line(look, &joined(row.iter().map(String::as_str).collect()), width);
        if look == Look::Reverse {
            // The bar goes from side to side.
            line.text = format!("{:width$}", line.text);
        }
        lines.push(line);
    }
    lines.truncate(height);
    lines
}

/// Which columns there is room for.
fn shown(columns: &[Column], widths: &[usize], width: usize) -> Vec<bool> {
    let most = columns.iter().map(|column| column.rank).max().unwrap_or(0);
    let within = |rank: u8| columns.iter().map(move |column| column.rank <= rank);
    let needed = |rank: u8| -> usize {
        widths.iter().zip(within(rank)).filter(|(_, shown)| *shown).map(|(w, _)| w + 2).sum()
    };
    // No room is needed behind the last one.
    let rank = (0..=most).rev().find(|rank| needed(*rank) <= width + 2).unwrap_or(0);
    within(rank).collect()
}

fn line(look: Look, text: &str, width: usize) -> Line {
    Line { text: clipped(text, width), look }
}

/// The text without what a terminal would obey, and not longer than this.
fn clipped(text: &str, width: usize) -> String {
    let clean = || text.chars().filter(|c| !c.is_control() && !turns(*c));
    if clean().count() <= width {
        return clean().collect();
    }
    clean().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

/// Whether a character has no width, or changes the direction of others.
fn turns(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn unknown() -> String {
    "-".to_owned()
}

/// Bytes in few characters, by powers of 1024.
fn size(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P", "E"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, "");
    for larger in units {
        if whole < 1024 {
            break;
        }
        (whole, rest, unit) = (whole / 1024, whole % 1024, larger);
    }
    match unit {
        "" => whole.to_string(),
        _ if whole < 10 => format!("{whole}.{}{unit}", rest * 10 / 1024),
        _ => format!("{whole}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::keys::Key;
    use super::super::snapshot::tests::told;
    use super::*;

    fn model() -> Model {
        let began = Instant::now();
        let mut model = Model::new(told(began, 5), Duration::from_secs(1));
        model.take(told(began, 6));
        model.key(Key::Down);
        model
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().flat_map(|line| [line.text.trim_end(), "\n"]).collect()
    }

    #[test]
    fn a_screen_shows_services_and_the_sessions_of_one() {
        let lines = render(&model(), 100, 12);
        let expected = "\
dormouse 0.1.0, up 1min 6s, 2 of 256 sessions, by name
SERVICE   STATE     SINCE      SESSIONS  WAITING  SESS/S    IN/S   OUT/S  NEXT
db        ready     1min 21s          0        1     0.0    976K    2.8M  stops in 45s
web       ready     1min 21s          2        1     2.0    1.0K    3.0K  stops in 45s

Sessions of web: 2
CLIENT            SERVER       AGE      IN     OUT    IN/S   OUT/S
127.0.0.1:1[7m1   <none>      1m1s       6      12       1       2
127.0.0.1:1[7m47  <none>      1m1s     600    1.1K     100     200


h help  q quit  s order  Enter services/sessions
";
        assert_eq!(text(&lines), expected);
        assert_eq!(lines[3].look, Look::Reverse);
        assert_eq!(lines[3].text.chars().count(), 100);
    }

    #[test]
    fn a_narrow_screen_shows_what_matters_most() {
        let lines = render(&model(), 42, 7);
        let expected = "\
dormouse 0.1.0, up 1min 6s, 2 of 256 sess…
SERVICE   STATE     SESSIONS  WAITING
db        ready            0        1
web       ready            2        1

Sessions of web: 2
h help  q quit  s order  Enter services/s…
";
        assert_eq!(text(&lines), expected);
    }

    #[test]
    fn no_size_is_too_small() {
        let mut model = model();
        for help in [false, true] {
            model.help = help;
            for focus in [Focus::Services, Focus::Sessions] {
                model.focus = focus;
                for (width, height) in (0..60).flat_map(|width| (0..20).map(move |height| (width, height))) {
                    let lines = render(&model, width, height);
                    assert_eq!(lines.len(), height);
                    assert!(lines.iter().all(|line| line.text.chars().count() <= width), "{lines:?}");
                }
            }
        }
    }

    #[test]
    fn the_selected_one_of_many_is_in_sight() {
        let mut model = model();
        let web = model.now.services[0].clone();
        for number in 0..100 {
            let service = super::super::snapshot::Service { name: format!("x{number:02}"), ..web.clone() };
            model.now.services.push(service);
        }
        for _ in 0..200 {
            let lines = render(&model, 80, 24);
            let selected = lines.iter().find(|line| line.look == Look::Reverse);
            assert!(selected.is_some_and(|line| line.text.starts_with(model.service().unwrap())));
            model.key(Key::Down);
        }
        assert_eq!(model.service(), Some("x99"));
        model.help = true;
        assert!(text(&render(&model, 80, 24)).contains("thaw it"));
        model.message = "a\u{202e}b\x1b[2J".to_owned();
        assert!(text(&render(&model, 80, 24)).ends_with("ab[2J\n"));
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (10_239, "9.9K"),
            (10_240, "10K"),
            (1 << 30, "1.0G"),
            (u64::MAX, "15E"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }
}
