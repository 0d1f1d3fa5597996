//! Users and groups by their names, as every other program of the machine finds them (nsswitch.conf(5)).

use std::ffi::{CString, c_char};
use std::io;
use std::ptr;

/// The number of the user with this name; `None` if there is nobody of this name.
///
/// # Errors
/// When the user database cannot be read.
pub fn user(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_room(|room| {
        // SAFETY: `passwd` is integers and pointers, for which zero (null) is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: the name is NUL-terminated; `entry`, `room` and `found` are valid and live until the call returns.
        let code = unsafe {
            libc::getpwnam_r(name.as_ptr(), &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found)
        };
        (code, (!found.is_null()).then_some(entry.pw_uid))
    })
}

/// The number of the group with this name; `None` if there is none.
///
/// # Errors
/// When the group database cannot be read.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_room(|room| {
        // SAFETY: `group` is integers and pointers, for which zero (null) is a value.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: the name is NUL-terminated; `entry`, `room` and `found` are valid and live until the call returns.
        let code = unsafe {
            libc::getgrnam_r(name.as_ptr(), &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found)
        };
        (code, (!found.is_null()).then_some(entry.gr_gid))
    })
}

/// Asks with more and more room for the entry, which may be long: a group has members.
fn with_room(mut ask: impl FnMut(&mut [c_char]) -> (i32, Option<u32>)) -> io::Result<Option<u32>> {
    const MOST: usize = 4 << 20;
    let mut size = 4 << 10;
    loop {
        let mut room: Vec<c_char> = vec![0; size];
        match ask(&mut room) {
            (0, found) => return Ok(found),
            (libc::ERANGE, _) if size < MOST => size *= 4,
            (libc::EINTR, _) => {}
            // Some databases say so of names that they do not have (getpwnam(3), "RETURN VALUE").
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(None),
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_everywhere_and_some_names_are_nowhere() {
        assert_eq!(user("root").unwrap(), Some(0));
        assert_eq!(group("root").unwrap(), Some(0));
        for name in ["no-such-user-here", "a\0b", ""] {
            assert_eq!(user(name).unwrap(), None, "{name:?}");
            assert_eq!(group(name).unwrap(), None, "{name:?}");
        }
    }

    #[test]
    fn an_entry_that_does_not_fit_gets_more_room() {
        let mut sizes = Vec::new();
        let answer = with_room(|room| {
            sizes.push(room.len());
            if sizes.len() < 3 { (libc::ERANGE, None) } else { (0, Some(7)) }
        });
        assert_eq!(answer.unwrap(), Some(7));
        assert_eq!(sizes, [4 << 10, 16 << 10, 64 << 10]);
        assert_eq!(with_room(|_| (libc::ERANGE, None)).unwrap_err().raw_os_error(), Some(libc::ERANGE));
    }
}
