//! The clock on the wall.

use std::mem::MaybeUninit;

/// A moment in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The year.
    pub year: i32,
    /// The month, from 1 to 12.
    pub month: u8,
    /// The day of the month, from 1 on.
    pub day: u8,
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 60.
    pub second: u8,
}

/// The day of the week (0 is Monday) and the minute of the day (0 to 1439), in local time (`TZ`, /etc/localtime).
pub fn day_and_minute() -> (u8, u16) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    at(now.tv_sec)
}

/// This many seconds after 1970 began in Greenwich, in local time. `None` for years that no calendar knows.
pub fn local(seconds: i64) -> Option<Local> {
    let tm = broken_down(seconds)?;
    let small = |number: i32| u8::try_from(number).ok();
    Some(Local {
        year: tm.tm_year.checked_add(1900)?,
        month: small(tm.tm_mon.checked_add(1)?)?,
        day: small(tm.tm_mday)?,
        hour: small(tm.tm_hour)?,
        minute: small(tm.tm_min)?,
        second: small(tm.tm_sec)?,
    })
}

fn at(seconds: i64) -> (u8, u16) {
    let Some(local) = broken_down(seconds) else { return (0, 0) };
    let day = (local.tm_wday + 6) % 7;
    let minute = local.tm_hour * 60 + local.tm_min;
    (u8::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
}

fn broken_down(seconds: i64) -> Option<libc::tm> {
    let mut local = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live memory of the right types; localtime_r(3) writes all of the struct or returns
    // null, and is safe to call from any thread.
    let done = unsafe { libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    // SAFETY: not null, so the struct was written.
    Some(unsafe { local.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_minute_later_is_one_minute_later() {
        let (day, minute) = at(1_700_000_000);
        assert!(day < 7 && minute < 1440);
        assert_eq!(at(1_700_000_060).1, (minute + 1) % 1440);
        assert_eq!(at(1_700_000_000 + 24 * 3600), ((day + 1) % 7, minute));
    }

    #[test]
    fn a_moment_has_a_date() {
        // No zone is further than 14 hours from Greenwich.
        let noon = local(1_700_049_600).unwrap();
        assert_eq!((noon.year, noon.month, noon.second), (2023, 11, 0));
        assert!((14..=16).contains(&noon.day) && noon.hour < 24 && noon.minute < 60);
        assert_eq!(local(i64::MAX), None);
    }
}
