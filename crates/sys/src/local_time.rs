//! The clock on the wall.

use std::mem::MaybeUninit;

/// The day of the week (0 is Monday) and the minute of the day (0 to 1439), in local time (`TZ`, /etc/localtime).
pub fn day_and_minute() -> (u8, u16) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    at(now.tv_sec)
}

fn at(seconds: i64) -> (u8, u16) {
    let mut local = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live memory of the right types; localtime_r(3) writes all of the struct or returns
    // null, and is safe to call from any thread.
    let done = unsafe { libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    if done.is_null() {
        return (0, 0);
    }
    // SAFETY: not null, so the struct was written.
    let local = unsafe { local.assume_init() };
    let day = (local.tm_wday + 6) % 7;
    let minute = local.tm_hour * 60 + local.tm_min;
    (u8::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
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
}
