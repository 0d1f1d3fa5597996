//! Local time (`TZ`, /etc/localtime).

use std::mem::MaybeUninit;

/// A date and a time of day in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The year.
    pub year: i32,
    /// The month, from 1 to 12.
    pub month: u8,
    /// The day of the month, from 1 on.
    pub day: u8,
    /// The hour, from 0 to 23.
    pub hour: u8,
    /// The minute, from 0 to 59.
    pub minute: u8,
    /// The second, from 0 to 60 (a leap second).
    pub second: u8,
}

/// Returns the current day of the week (0 is Monday) and minute of the day (0 to 1439).
pub fn weekday_and_minute() -> (u8, u16) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    weekday_and_minute_at(now.tv_sec)
}

/// Converts seconds since 1970-01-01 00:00 UTC to local time. Returns `None` if the year is out of range.
pub fn from_unix(seconds: i64) -> Option<LocalTime> {
    let tm = localtime(seconds)?;
    let small = |number: i32| u8::try_from(number).ok();
    Some(LocalTime {
        year: tm.tm_year.checked_add(1900)?,
        month: small(tm.tm_mon.checked_add(1)?)?,
        day: small(tm.tm_mday)?,
        hour: small(tm.tm_hour)?,
        minute: small(tm.tm_min)?,
        second: small(tm.tm_sec)?,
    })
}

fn weekday_and_minute_at(seconds: i64) -> (u8, u16) {
    let Some(tm) = localtime(seconds) else { return (0, 0) };
    let day = (tm.tm_wday + 6) % 7;
    let minute = tm.tm_hour * 60 + tm.tm_min;
    (u8::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
}

fn localtime(seconds: i64) -> Option<libc::tm> {
    let mut tm = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live memory of the right types. localtime_r(3) writes the whole struct or returns
    // null, and is safe to call from any thread.
    let done = unsafe { libc::localtime_r(&raw const seconds, tm.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: the result is not null, so the struct was written.
    Some(unsafe { tm.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_and_a_day_later() {
        let (day, minute) = weekday_and_minute_at(1_700_000_000);
        assert!(day < 7 && minute < 1440);
        assert_eq!(weekday_and_minute_at(1_700_000_060).1, (minute + 1) % 1440);
        assert_eq!(weekday_and_minute_at(1_700_000_000 + 24 * 3600), ((day + 1) % 7, minute));
    }

    #[test]
    fn a_unix_time_has_a_date() {
        // No zone is further than 14 hours from UTC.
        let noon = from_unix(1_700_049_600).unwrap();
        assert_eq!((noon.year, noon.month, noon.second), (2023, 11, 0));
        assert!((14..=16).contains(&noon.day) && noon.hour < 24 && noon.minute < 60);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri itself panics on this year")]
    fn a_year_out_of_range_has_no_date() {
        assert_eq!(from_unix(i64::MAX), None);
        assert_eq!(weekday_and_minute_at(i64::MAX), (0, 0));
    }
}
