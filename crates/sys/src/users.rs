//! Users and groups by name, from the same databases that other programs use (nsswitch.conf(5)), with a deadline.

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use crate::lookup_deadline::within_limit;

/// A user, as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user ID.
    pub uid: u32,
    /// The ID of the user's own group.
    pub gid: u32,
    /// The home directory; empty if there is none.
    pub home: OsString,
    /// The login shell; empty if there is none.
    pub shell: OsString,
}

/// Returns the ID of the user with this name, or `None` if there is no such user.
///
/// # Errors
/// When the user database cannot be read.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(user(name)?.map(|user| user.uid))
}

/// Returns the user with this name, or `None` if there is no such user.
///
/// # Errors
/// When the user database cannot be read.
pub fn user(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    within_limit(move || {
        with_buffer(|buffer| {
            // SAFETY: `passwd` is integers and pointers, for which zero (null) is a value.
            let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
            let mut found = ptr::null_mut();
            // SAFETY: the name is NUL-terminated; `entry`, `buffer` and `found` are valid and live until the call returns.
            let code = unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    &raw mut entry,
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            // SAFETY: the entry was found, so its strings are in the buffer, which still lives.
            (code, (!found.is_null()).then(|| unsafe { describe(&entry) }))
        })
    })
}

/// Returns the user with this ID, or `None` if there is no such user.
///
/// # Errors
/// When the user database cannot be read.
pub fn user_with_id(uid: u32) -> io::Result<Option<User>> {
    within_limit(move || {
        with_buffer(|buffer| {
            // SAFETY: `passwd` is integers and pointers, for which zero (null) is a value.
            let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
            let mut found = ptr::null_mut();
            // SAFETY: `entry`, `buffer` and `found` are valid and live until the call returns.
            let code = unsafe {
                libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
            };
            // SAFETY: the entry was found, so its strings are in the buffer, which still lives.
            (code, (!found.is_null()).then(|| unsafe { describe(&entry) }))
        })
    })
}

/// Copies an entry.
///
/// # Safety
/// The strings of the entry are null, or NUL-terminated in a buffer that still lives.
unsafe fn describe(entry: &libc::passwd) -> User {
    let text = |text: *const c_char| {
        if text.is_null() {
            return OsString::new();
        }
        // SAFETY: the caller promises it.
        OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()).to_owned()
    };
    User {
        name: text(entry.pw_name).to_string_lossy().into_owned(),
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        home: text(entry.pw_dir),
        shell: text(entry.pw_shell),
    }
}

/// Returns the groups that a user is a member of, with `gid`, the user's own group (initgroups(3)).
///
/// # Errors
/// When the user has more groups than a process can have.
pub fn groups(user: &str, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(user).map_err(|_| io::ErrorKind::InvalidInput)?;
    within_limit(move || groups_of(&name, gid))
}

fn groups_of(name: &CStr, gid: u32) -> io::Result<Vec<u32>> {
    /// `NGROUPS_MAX` of linux/limits.h.
    const MOST: usize = 65_536;
    let mut size = 64;
    loop {
        let mut groups: Vec<libc::gid_t> = vec![0; size];
        let mut count = i32::try_from(size).unwrap_or(i32::MAX);
        // SAFETY: the name is NUL-terminated; `groups` has room for `count` entries; all live until the call returns.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or_default();
        if result >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if size >= MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        size = count.max(size * 2).min(MOST);
    }
}

/// Returns the ID of the group with this name, or `None` if there is no such group.
///
/// # Errors
/// When the group database cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    within_limit(move || {
        with_buffer(|buffer| {
            // SAFETY: `group` is integers and pointers, for which zero (null) is a value.
            let mut entry: libc::group = unsafe { std::mem::zeroed() };
            let mut found = ptr::null_mut();
            // SAFETY: the name is NUL-terminated; `entry`, `buffer` and `found` are valid and live until the call returns.
            let code = unsafe {
                libc::getgrnam_r(
                    name.as_ptr(),
                    &raw mut entry,
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            (code, (!found.is_null()).then_some(entry.gr_gid))
        })
    })
}

/// Returns whether a group has this ID.
///
/// # Errors
/// When the group database cannot be read.
pub fn group_exists(id: u32) -> io::Result<bool> {
    let found = within_limit(move || {
        with_buffer(|buffer| {
            // SAFETY: `group` is integers and pointers, for which zero (null) is a value.
            let mut entry: libc::group = unsafe { std::mem::zeroed() };
            let mut found = ptr::null_mut();
            // SAFETY: `entry`, `buffer` and `found` are valid and live until the call returns.
            let code = unsafe {
                libc::getgrgid_r(id, &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
            };
            (code, (!found.is_null()).then_some(()))
        })
    })?;
    Ok(found.is_some())
}

/// Returns a user for a message: the name, or the number where the user database has no name for it, or does not answer.
pub fn user_name(id: u32) -> String {
    let found = user_with_id(id).ok().flatten().map(|user| user.name).filter(|name| !name.is_empty());
    found.unwrap_or_else(|| format!("user {id}"))
}

/// Repeats a lookup with a growing buffer. An entry may be long, because a group contains its members.
fn with_buffer<T>(mut lookup: impl FnMut(&mut [c_char]) -> (i32, Option<T>)) -> io::Result<Option<T>> {
    const MAX_SIZE: usize = 4 << 20;
    let mut size = 4 << 10;
    loop {
        let mut buffer: Vec<c_char> = vec![0; size];
        match lookup(&mut buffer) {
            (0, found) => return Ok(found),
            (libc::ERANGE, _) if size < MAX_SIZE => size *= 4,
            (libc::EINTR, _) => {}
            // Some databases report these errors for names that they do not contain (getpwnam(3), "RETURN VALUE").
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(None),
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no user database")]
    fn root_has_id_zero_and_unknown_names_have_none() {
        assert_eq!(user_id("root").unwrap(), Some(0));
        assert_eq!(group_id("root").unwrap(), Some(0));
        for name in ["no-such-user-here", "a\0b", ""] {
            assert_eq!(user_id(name).unwrap(), None, "{name:?}");
            assert_eq!(group_id(name).unwrap(), None, "{name:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no user database")]
    fn a_group_exists_or_not() {
        assert!(group_exists(0).unwrap());
        assert!(!group_exists(4_294_000_000).unwrap());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no user database")]
    fn a_user_has_a_name_or_a_number() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(2_000_000_007), "user 2000000007");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no user database")]
    fn a_user_is_found_by_name_and_by_id() {
        let root = user("root").unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.uid, root.gid), ("root", 0, 0));
        assert_eq!(root.home, "/root");
        assert_eq!(user_with_id(0).unwrap(), Some(root));
        assert_eq!(user_with_id(4_294_000_000).unwrap(), None);
    }

    #[test]
    fn an_entry_is_copied_with_the_strings_that_it_has() {
        // SAFETY: `passwd` is integers and pointers, for which zero (null) is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        (entry.pw_uid, entry.pw_gid) = (7, 8);
        let mut strings = *b"web\0/srv/\xff\0";
        let (name, home) = strings.split_at_mut(4);
        entry.pw_name = name.as_mut_ptr().cast();
        entry.pw_dir = home.as_mut_ptr().cast();
        // SAFETY: the strings are NUL-terminated, or null.
        let user = unsafe { describe(&entry) };
        let home = OsStr::from_bytes(b"/srv/\xff").to_owned();
        let shell = OsString::new();
        assert_eq!(user, User { name: "web".to_owned(), uid: 7, gid: 8, home, shell });
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no user database")]
    fn the_groups_of_a_user_contain_its_own() {
        assert!(groups("root", 0).unwrap().contains(&0));
        assert_eq!(groups("no-such-user-here", 64_321).unwrap(), [64_321]);
        assert!(groups("a\0b", 0).is_err());
    }

    #[test]
    fn an_entry_that_does_not_fit_gets_a_larger_buffer() {
        let mut sizes = Vec::new();
        let result = with_buffer(|buffer| {
            sizes.push(buffer.len());
            if sizes.len() < 3 { (libc::ERANGE, None) } else { (0, Some(7)) }
        });
        assert_eq!(result.unwrap(), Some(7));
        assert_eq!(sizes, [4 << 10, 16 << 10, 64 << 10]);
        assert_eq!(
            with_buffer::<u32>(|_| (libc::ERANGE, None)).unwrap_err().raw_os_error(),
            Some(libc::ERANGE)
        );
    }
}
