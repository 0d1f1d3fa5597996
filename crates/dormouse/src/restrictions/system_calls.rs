//! The restriction of system calls, by seccomp: those that this program never makes, and that help an attacker who
//! controls it, fail with EPERM.
//!
//! The lists name what is refused, not what is allowed: the C library and its modules for names and users may begin to
//! use other calls with any update. Compare them with the groups of systemd (`systemd-analyze syscall-filter`).

mod arguments;
mod refused;

use std::env::consts::ARCH;

use dormouse_sys::seccomp::{self, Instruction};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The calls of the 32-bit interface with 64-bit registers (x32) have these numbers and above. To the kernel they are of the
/// same architecture, so a list of other numbers would miss them.
#[cfg(target_arch = "x86_64")]
const FOREIGN: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const FOREIGN: Option<u32> = None;

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const IF_AT_LEAST: u16 = 0x35;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// Refuses the calls for all threads of this process. The kernel reports each refused call in its log, where it keeps one
/// (`kernel.seccomp.actions_logged`).
///
/// # Errors
/// The reason, if the kernel refuses, or seccompiler does not know the architecture.
pub(super) fn restrict() -> Result<(), String> {
    let program = program()?;
    seccomp::restrict_all_threads(&program).map_err(|error| error.to_string())
}

fn program() -> Result<Vec<Instruction>, String> {
    let architecture =
        TargetArch::try_from(ARCH).map_err(|_| format!("the architecture {ARCH} is not known"))?;
    let mut rules = arguments::rules().map_err(|error| error.to_string())?;
    rules.extend(refused::ALWAYS.iter().copied().flatten().map(|call| (*call, Vec::new())));
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    let instruction = |one: &seccompiler::sock_filter| Instruction {
        code: one.code,
        jump_true: one.jt,
        jump_false: one.jf,
        value: one.k,
    };
    Ok(missing_calls().into_iter().chain(program.iter().map(instruction)).collect())
}

/// Returns the beginning of the program, which seccompiler cannot write: calls that fail with another error. All its jumps
/// are relative.
fn missing_calls() -> Vec<Instruction> {
    let plain = |code, value| Instruction { code, jump_true: 0, jump_false: 0, value };
    let calls = refused::MISSING.into_iter().filter_map(|call| u32::try_from(call).ok());
    let tests: Vec<_> =
        calls.map(|call| (IF_EQUAL, call)).chain(FOREIGN.map(|first| (IF_AT_LEAST, first))).collect();
    // Over the remaining tests, and the jump to the rest of the program.
    let to_the_end = (1..=tests.len()).rev().map(|distance| u8::try_from(distance).unwrap_or(u8::MAX));
    let tests = tests
        .iter()
        .zip(to_the_end)
        .map(|((code, value), distance)| Instruction { jump_true: distance, ..plain(*code, *value) });
    // The number of the call is first in the data of the filter.
    std::iter::once(plain(LOAD, 0))
        .chain(tests)
        .chain([plain(JUMP, 1), plain(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs())])
        .collect()
}

#[cfg(test)]
mod tests;
