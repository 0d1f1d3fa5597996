//! Filters of system calls (seccomp(2)), which last until the end of the process.

mod compile;

use std::io;

pub use self::compile::{
    BackendError, Comparison, IF_AT_LEAST, IF_EQUAL, JUMP, LOAD, Operator, RETURN, Rule, compile, rule,
};

/// An instruction of a filter (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// The number of instructions to skip if the condition holds.
    pub jump_true: u8,
    /// The number of instructions to skip if it does not.
    pub jump_false: u8,
    /// The operand.
    pub value: u32,
}

/// Applies a filter to all threads of this process and those that they start. The kernel logs what the filter refuses.
///
/// # Errors
/// When the kernel refuses, for example because a filter around this process does not allow it.
pub fn restrict_all_threads(program: &[Instruction]) -> io::Result<()> {
    install(program, libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_LOG)
}

/// Applies a filter to this thread and those that it starts.
///
/// # Errors
/// As for [`restrict_all_threads`].
pub fn restrict_thread(program: &[Instruction]) -> io::Result<()> {
    install(program, libc::SECCOMP_FILTER_FLAG_LOG)
}

/// Applies a filter to this thread and those that it starts. The kernel does not log what the filter refuses, because another
/// program may try without end.
///
/// # Errors
/// As for [`restrict_all_threads`].
pub fn restrict_program(program: &[Instruction]) -> io::Result<()> {
    install(program, 0)
}

fn install(program: &[Instruction], flags: libc::c_ulong) -> io::Result<()> {
    let filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|one| libc::sock_filter { code: one.code, jt: one.jump_true, jf: one.jump_false, k: one.value })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    rustix::thread::set_no_new_privs(true)?;
    let without_log = flags & !libc::SECCOMP_FILTER_FLAG_LOG;
    match set_filter(&filter, length, flags) {
        // Before Linux 4.14 there is no log.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && flags != without_log => {
            set_filter(&filter, length, without_log)
        }
        result => result,
    }
}

fn set_filter(filter: &[libc::sock_filter], length: u16, flags: libc::c_ulong) -> io::Result<()> {
    // The kernel does not write to the filter.
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` names `length` instructions, which live until the call returns and which the kernel copies and
    // checks. The filter changes no memory of this process.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match result {
        0 => Ok(()),
        // A thread that cannot be restricted, by its number.
        1.. => Err(io::Error::other("a thread has other restrictions")),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    use rustix::process::getpriority_process;

    /// An error that the call does not have.
    const ERROR: u16 = 77;

    fn instruction(code: u16, jump_false: u8, value: u32) -> Instruction {
        Instruction { code, jump_true: 0, jump_false, value }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no seccomp")]
    fn a_filter_refuses_a_call_in_this_thread_and_those_that_it_starts() {
        let program = [
            // The number of the call is first in the data of the filter.
            instruction(LOAD, 0, 0),
            instruction(IF_EQUAL, 1, u32::try_from(libc::SYS_getpriority).unwrap()),
            instruction(RETURN, 0, libc::SECCOMP_RET_ERRNO | u32::from(ERROR)),
            instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let call = || getpriority_process(None).unwrap_err().raw_os_error();
        assert!(getpriority_process(None).is_ok());
        let restricted = thread::spawn(move || {
            restrict_thread(&program).unwrap();
            (call(), thread::spawn(call).join().unwrap())
        });
        assert_eq!(restricted.join().unwrap(), (i32::from(ERROR), i32::from(ERROR)));
        assert!(install(&[instruction(0xffff, 0, 0)], 0).is_err());
    }
}
