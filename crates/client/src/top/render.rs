//! Makes the lines of the screen from the model.

use super::model::{Focus, Model};
use super::snapshot::Rate;
use super::table::{Column, Line, Style, column, line, table};
use crate::fields::span;

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

const HELP: [&str; 14] = [
    "Up, Down, k, j   select",
    "Enter, Tab       switch between services and sessions",
    "s                change the order: name, sessions, rate (bytes per second)",
    "w                wake the selected service",
    "z                stop it, unless it is in use",
    "f                freeze it, unless it is in use",
    "t                thaw it",
    "d, then y        drain it: no new sessions",
    "d                end the drain of a drained service",
    "x, then y        end the selected session",
    "h, ?             show this help",
    "q                quit",
    "",
    "Any other key goes back.",
];

/// Returns the lines of a screen of this size, at most `height`.
pub(super) fn render(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let mut lines = vec![line(Style::Bold, &title(model), width)];
    let body = height.saturating_sub(2);
    if model.help {
        lines.extend(HELP.iter().take(body).map(|text| line(Style::Plain, text, width)));
    } else {
        // The sessions get at least half of the screen.
        let needed = model.services().len() + 1;
        let below = body.saturating_sub(needed).max(body / 2);
        let above = needed.min(body - below);
        lines.extend(services(model, width, above));
        lines.extend(sessions(model, width, below));
    }
    // The footer stays at the bottom.
    lines.resize(height.saturating_sub(1), Line { text: String::new(), style: Style::Plain });
    if height > 0 {
        lines.push(footer(model, width));
    }
    lines
}

fn title(model: &Model) -> String {
    let current = &model.current;
    format!(
        "dormouse {}, up {}, {} of {} sessions, by {}",
        current.version,
        span(current.uptime),
        current.open,
        current.limit,
        model.sort.name()
    )
}

fn footer(model: &Model, width: usize) -> Line {
    if !model.message.is_empty() {
        return line(Style::Bold, &model.message, width);
    }
    match &model.error {
        Some(error) => line(Style::Bold, error, width),
        None => line(Style::Plain, "h help  q quit  s order  Enter services/sessions", width),
    }
}

fn services(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let services = model.services();
    let rows = services.iter().map(|service| {
        let rate = model.rates.services.get(&service.name);
        let tenths = |rate: &Rate| format!("{}.{}", rate.sessions / 10, rate.sessions % 10);
        vec![
            service.name.clone(),
            service.state.clone(),
            span(service.since),
            service.sessions.to_string(),
            service.waiting.to_string(),
            rate.map_or_else(unknown, tenths),
            rate.map_or_else(unknown, |rate| size(rate.bytes.up)),
            rate.map_or_else(unknown, |rate| size(rate.bytes.down)),
            service.next.clone(),
        ]
    });
    let style = if model.focus == Focus::Services { Style::Reverse } else { Style::Bold };
    table(&SERVICES, rows.collect(), model.service_index(), style, (width, height))
}

fn sessions(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let sessions = model.sessions();
    let about = match (model.service(), &model.current.sessions) {
        (None, _) => "No services.".to_owned(),
        (Some(_), None) => "Too many sessions to list them.".to_owned(),
        (Some(name), Some(_)) => format!("Sessions of {name}: {}", sessions.len()),
    };
    let rows = sessions.iter().map(|session| {
        let rate = model.rates.sessions.get(&session.id);
        vec![
            session.client.clone(),
            session.server.clone(),
            session.age.clone(),
            size(session.bytes.up),
            size(session.bytes.down),
            rate.map_or_else(unknown, |rate| size(rate.bytes.up)),
            rate.map_or_else(unknown, |rate| size(rate.bytes.down)),
        ]
    });
    let style = if model.focus == Focus::Sessions { Style::Reverse } else { Style::Plain };
    let mut lines = vec![line(Style::Plain, "", width), line(Style::Bold, &about, width)];
    if !sessions.is_empty() {
        let remaining = height.saturating_sub(lines.len());
        lines.extend(table(&SESSIONS, rows.collect(), model.session_index(), style, (width, remaining)));
    }
    lines.truncate(height);
    lines
}

/// The text of a value that is not known.
fn unknown() -> String {
    "-".to_owned()
}

/// Formats a number of bytes in powers of 1024, in at most five characters.
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
    use super::super::snapshot::tests::sample;
    use super::*;

    fn model() -> Model {
        let began = Instant::now();
        let mut model = Model::new(sample(began, 5), Duration::from_secs(1));
        model.update(sample(began, 6));
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
CLIENT                  SERVER       AGE      IN     OUT    IN/S   OUT/S
127.0.0.1:1\\u{1b}[7m1   <none>      1m1s       6      12       1       2
127.0.0.1:1\\u{1b}[7m47  <none>      1m1s     600    1.1K     100     200


h help  q quit  s order  Enter services/sessions
";
        assert_eq!(text(&lines), expected);
        assert_eq!(lines[3].style, Style::Reverse);
        assert_eq!(lines[3].text.chars().count(), 100);
    }

    #[test]
    fn a_narrow_screen_shows_the_most_important_columns() {
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
    fn every_screen_size_works() {
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
    fn the_selected_service_is_visible_among_many() {
        let mut model = model();
        let web = model.current.services[0].clone();
        for number in 0..100 {
            let service = super::super::snapshot::Service { name: format!("x{number:02}"), ..web.clone() };
            model.current.services.push(service);
        }
        for _ in 0..200 {
            let lines = render(&model, 80, 24);
            let selected = lines.iter().find(|line| line.style == Style::Reverse);
            assert!(selected.is_some_and(|line| line.text.starts_with(model.service().unwrap())));
            model.key(Key::Down);
        }
        assert_eq!(model.service(), Some("x99"));
        model.help = true;
        let help = text(&render(&model, 80, 24));
        assert!(help.contains("thaw it") && help.contains("Any other key goes back."), "{help}");
        model.message = "a\u{202e}b\x1b[2J".to_owned();
        assert!(text(&render(&model, 80, 24)).ends_with("a\\u{202e}b\\u{1b}[2J\n"));
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
