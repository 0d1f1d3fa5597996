//! Resident pages of code that only the start of the program needed.

use std::ffi::c_void;
use std::fs;

use rustix::mm::{Advice, madvise};

/// Releases all resident pages of code, much of which only the start of the program runs. Code that runs again is
/// mapped again from the page cache.
///
/// Only mappings that are executable and not writable are released, so no changed page is lost (`proc_pid_maps(5)`,
/// madvise(2)). Without /proc nothing happens.
pub fn release() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(code_mapping) {
        // SAFETY: the range is a private mapping of a file and is never written. A page that is touched again is read
        // from the file with the same bytes. Code that runs at the same time only faults it back in.
        let _ = unsafe {
            madvise(std::ptr::with_exposed_provenance_mut::<c_void>(start), length, Advice::LinuxDontNeed)
        };
    }
}

/// Returns the start and the length of a mapping of a file's code, from a line of /proc/self/maps.
fn code_mapping(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let path = fields.nth(3)?;
    if permissions != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_released() {
        let text = "7f00-8000 r-xp 00001000 fe:00 42   /usr/lib/x.so";
        assert_eq!(code_mapping(text), Some((0x7f00, 0x100)));
        for other in [
            "7f00-8000 r--p 00001000 fe:00 42   /usr/lib/x.so",
            "7f00-8000 rw-p 00001000 fe:00 42   /usr/lib/x.so",
            "7f00-8000 rwxp 00001000 fe:00 42   /usr/lib/x.so",
            "7f00-8000 r-xp 00000000 00:00 0    [vdso]",
            "7f00-8000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_mapping(other), None, "{other}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no madvise")]
    fn the_program_still_runs_and_less_is_resident() {
        let resident = || {
            let text = fs::read_to_string("/proc/self/status").unwrap();
            let line = text.lines().find(|line| line.starts_with("RssFile")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        // Another test may use new pages at the same time.
        let is_less = || {
            let before = resident();
            release();
            resident() < before
        };
        assert!((0..1000).any(|_| is_less()));
    }
}
