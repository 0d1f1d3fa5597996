//! Weekly windows in which a workload is kept awake: `Mon-Fri 08:00-18:00`.
//!
//! Times are local times: a day (0 is Monday) and the minutes since midnight. The caller reads the clock.

use std::fmt;
use std::str::FromStr;

/// A weekly window in local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeeklyWindow {
    /// The days on which the window opens. Bit 0 is Monday.
    pub days: u8,
    /// The opening time in minutes since midnight.
    pub from: u16,
    /// The closing time in minutes since midnight, at most 1440. A closing time before `from` is on the next day.
    pub until: u16,
}

/// Minutes per day and per week.
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const EVERY_DAY: u8 = 0b111_1111;
const DAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl WeeklyWindow {
    /// Whether the window is open at this minute of this day (0 is Monday). The opening minute belongs to the window,
    /// the closing minute does not.
    pub fn contains(&self, day: u8, minute: u16) -> bool {
        let now = minute_of_week(day, minute);
        self.starts().any(|start| since(start, now) < self.length())
    }

    /// The opening times in minutes since Monday's midnight.
    fn starts(&self) -> impl Iterator<Item = u16> {
        let from = self.from;
        (0..7u8).filter(|day| self.days & (1 << day) != 0).map(move |day| minute_of_week(day, from))
    }

    /// The length of the window in minutes.
    fn length(&self) -> u16 {
        let (from, until) = (self.from.min(DAY), self.until.min(DAY));
        until + if until < from { DAY } else { 0 } - from
    }
}

/// Whether one of the windows is open at this minute of this day (0 is Monday).
pub fn is_open(windows: &[WeeklyWindow], day: u8, minute: u16) -> bool {
    windows.iter().any(|window| window.contains(day, minute))
}

/// Returns the minutes from the beginning of this minute until [`is_open`] changes. `None`: it never changes.
pub fn minutes_until_change(windows: &[WeeklyWindow], day: u8, minute: u16) -> Option<u16> {
    let now = minute_of_week(day, minute);
    let open_at = |time: u16| is_open(windows, u8::try_from(time / DAY).unwrap_or_default(), time % DAY);
    let open = open_at(now);
    windows
        .iter()
        .flat_map(|window| window.starts().flat_map(|start| [start, (start + window.length()) % WEEK]))
        .filter(|edge| open_at(*edge) != open)
        .map(|edge| since(now, edge))
        .min()
}

fn minute_of_week(day: u8, minute: u16) -> u16 {
    (u16::from(day % 7) * DAY + minute % WEEK) % WEEK
}

/// The minutes from `earlier` to the next `later`, both in minutes of the week.
fn since(earlier: u16, later: u16) -> u16 {
    (later + WEEK - earlier) % WEEK
}

impl FromStr for WeeklyWindow {
    type Err = WeeklyWindowError;

    /// Reads `[DAYS] HH:MM-HH:MM`. Days are names or their first three letters, single or as ranges, separated by
    /// commas. Without days the window opens every day. A window that ends before it begins ends on the next day.
    fn from_str(text: &str) -> Result<Self, WeeklyWindowError> {
        let text = text.trim();
        let (days, times) = match text.rsplit_once(char::is_whitespace) {
            Some((days, times)) => (parse_days(days)?, times),
            None => (EVERY_DAY, text),
        };
        let (from, until) =
            times.split_once('-').ok_or_else(|| WeeklyWindowError::Times(times.to_owned()))?;
        let (from, until) = (parse_time(from)?, parse_time(until)?);
        if from == until || from == DAY {
            return Err(WeeklyWindowError::Empty);
        }
        // Midnight as the closing time is the end of the same day.
        let until = if until == 0 { DAY } else { until };
        Ok(Self { days, from, until })
    }
}

fn parse_days(text: &str) -> Result<u8, WeeklyWindowError> {
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (parse_day(first)?, parse_day(last)?);
        days |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            days |= 1 << day;
        }
    }
    Ok(days)
}

fn parse_day(text: &str) -> Result<u8, WeeklyWindowError> {
    let text = text.trim();
    DAY_NAMES
        .iter()
        .zip(0..)
        .find(|(name, _)| name.eq_ignore_ascii_case(text) || short_name(name).eq_ignore_ascii_case(text))
        .map(|(_, day)| day)
        .ok_or_else(|| WeeklyWindowError::Day(text.to_owned()))
}

fn short_name(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

fn parse_time(text: &str) -> Result<u16, WeeklyWindowError> {
    let wrong = || WeeklyWindowError::Time(text.to_owned());
    let number = |digits: &str, length: std::ops::RangeInclusive<usize>| {
        let plain = length.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let hour = number(hour, 1..=2).ok_or_else(wrong)?;
    let minute = number(minute, 2..=2).filter(|minute| *minute < 60).ok_or_else(wrong)?;
    Some(hour * 60 + minute).filter(|time| *time <= DAY).ok_or_else(wrong)
}

impl fmt::Display for WeeklyWindow {
    /// Prints the window so that it can be parsed again: `Mon-Fri 08:00-18:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days & EVERY_DAY != EVERY_DAY {
            let mut separator = "";
            let mut day = 0;
            while let Some(first) = DAY_NAMES.get(day) {
                let run =
                    DAY_NAMES.iter().enumerate().skip(day).take_while(|(day, _)| self.days & (1 << day) != 0);
                match run.last() {
                    None => {}
                    Some((last, _)) if last == day => write!(f, "{separator}{}", short_name(first))?,
                    Some((last, name)) => {
                        write!(f, "{separator}{}-{}", short_name(first), short_name(name))?;
                        day = last;
                    }
                }
                if self.days & (1 << day) != 0 {
                    separator = ",";
                }
                day += 1;
            }
            f.write_str(" ")?;
        }
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

/// Why a text is not a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeeklyWindowError {
    /// The text is not the name of a day.
    Day(String),
    /// The text is not two times separated by a dash.
    Times(String),
    /// The text is not a time of day.
    Time(String),
    /// The window begins and ends at the same time.
    Empty,
}

impl fmt::Display for WeeklyWindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(text) => write!(f, "'{text}' is not a day (Mon, Tue, Wed, Thu, Fri, Sat, Sun)"),
            Self::Times(text) => write!(f, "'{text}' is not a range of times (write 08:00-18:00)"),
            Self::Time(text) => write!(f, "'{text}' is not a time of day (00:00 to 24:00)"),
            Self::Empty => f.write_str("start and end are equal (write 00:00-24:00 for whole days)"),
        }
    }
}

impl std::error::Error for WeeklyWindowError {}
