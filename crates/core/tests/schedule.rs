//! Weekly windows: parsing, and the times at which they open and close.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

use dormouse_core::schedule::{WeeklyWindow, is_open, minutes_until_change};
use proptest::prelude::*;

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

fn window(text: &str) -> WeeklyWindow {
    text.parse().unwrap()
}

#[test]
fn windows_are_parsed() {
    for (text, days, from, until) in [
        ("Mon-Fri 08:00-18:00", 0b001_1111, 480, 1080),
        ("Sat,Sun 10:00-12:00", 0b110_0000, 600, 720),
        ("Sat-Mon 10:00-12:00", 0b110_0001, 600, 720),
        ("mon,WEDNESDAY, Fri  8:00-9:30", 0b001_0101, 480, 570),
        ("22:00-06:00", 0b111_1111, 1320, 360),
        ("00:00-24:00", 0b111_1111, 0, 1440),
        ("22:00-00:00", 0b111_1111, 1320, 1440),
    ] {
        assert_eq!(window(text), WeeklyWindow { days, from, until }, "{text}");
    }
}

#[test]
fn windows_are_printed_in_short_form() {
    for text in ["Mon-Fri 08:00-18:00", "Sat-Sun 10:00-12:00", "Mon,Wed-Fri,Sun 09:05-24:00", "22:00-06:00"] {
        assert_eq!(window(text).to_string(), text);
    }
}

#[test]
fn invalid_windows_are_refused_with_the_reason() {
    for (text, reason) in [
        ("", "'' is not a range of times (write 08:00-18:00)"),
        ("Mon-Fri", "'Mon' is not a time of day (00:00 to 24:00)"),
        ("Mon-Fry 08:00-18:00", "'Fry' is not a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun)"),
        ("Mon 08:00", "'08:00' is not a range of times (write 08:00-18:00)"),
        ("Mon 08:00-25:00", "'25:00' is not a time of day (00:00 to 24:00)"),
        ("Mon 8:0-9:00", "'8:0' is not a time of day (00:00 to 24:00)"),
        ("Mon +8:00-9:00", "'+8:00' is not a time of day (00:00 to 24:00)"),
        ("08:00-08:00", "start and end are equal (write 00:00-24:00 for whole days)"),
        ("24:00-08:00", "start and end are equal (write 00:00-24:00 for whole days)"),
        (", 08:00-18:00", "'' is not a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun)"),
    ] {
        let said = text.parse::<WeeklyWindow>().map_err(|error| error.to_string());
        assert_eq!(said, Err(reason.to_owned()), "{text:?}");
    }
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let night = window("Sun 22:00-06:00");
    assert!(!night.contains(6, 21 * 60 + 59));
    assert!(night.contains(6, 22 * 60));
    assert!(night.contains(0, 5 * 60 + 59));
    assert!(!night.contains(0, 6 * 60));
    assert!(!night.contains(6, 0));
}

#[test]
fn the_minutes_until_the_next_change_are_exact() {
    let office = [window("Mon-Fri 08:00-18:00")];
    assert_eq!(minutes_until_change(&office, 0, 0), Some(480));
    assert_eq!(minutes_until_change(&office, 0, 480), Some(600));
    assert_eq!(minutes_until_change(&office, 4, 1080), Some(6 * 60 + 2 * DAY + 480));
    // Adjacent windows have no change between them.
    let joined = [window("08:00-12:00"), window("12:00-18:00")];
    assert_eq!(minutes_until_change(&joined, 2, 480), Some(600));
    assert_eq!(minutes_until_change(&[window("00:00-24:00")], 3, 77), None);
    assert_eq!(minutes_until_change(&[], 3, 77), None);
}

fn windows() -> impl Strategy<Value = Vec<WeeklyWindow>> {
    let one = (1u8..128, 0..DAY, 1..=DAY)
        .prop_filter("has a length", |(_, from, until)| from != until)
        .prop_map(|(days, from, until)| WeeklyWindow { days, from, until });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic_and_printed_windows_are_parsed_to_themselves(text in "\\PC{0,30}", windows in windows()) {
        let _ = text.parse::<WeeklyWindow>();
        for window in windows {
            prop_assert_eq!(window.to_string().parse(), Ok(window));
        }
    }

    #[test]
    fn a_window_is_open_for_its_length(windows in windows(), day in 0u8..7) {
        for mut window in windows {
            window.days = 1 << day;
            let open = (0..WEEK).filter(|time| window.contains((time / DAY) as u8, time % DAY)).count();
            let length = (window.until + if window.until < window.from { DAY } else { 0 }) - window.from;
            prop_assert_eq!(open, usize::from(length));
        }
    }

    #[test]
    fn nothing_changes_before_the_next_change(windows in windows(), now in 0..WEEK) {
        let open_at = |time: u16| is_open(&windows, (time % WEEK / DAY) as u8, time % DAY);
        let first = (1..=WEEK).find(|ahead| open_at(now + ahead) != open_at(now));
        prop_assert_eq!(minutes_until_change(&windows, (now / DAY) as u8, now % DAY), first);
    }

    #[test]
    fn no_time_panics(windows in windows(), day: u8, minute: u16) {
        let _ = (is_open(&windows, day, minute), minutes_until_change(&windows, day, minute));
    }

    #[test]
    fn no_window_panics(days: u8, from: u16, until: u16, day: u8, minute: u16) {
        let window = WeeklyWindow { days, from, until };
        let _ = (window.contains(day, minute), window.to_string(), minutes_until_change(&[window], day, minute));
    }
}
