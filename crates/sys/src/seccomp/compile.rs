//! From lists of refused calls to the program of a filter.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::c_long;
pub use seccompiler::{BackendError, SeccompCmpOp as Operator, SeccompRule as Rule};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCondition, SeccompFilter, TargetArch};

use super::Instruction;

/// The comparison of the lower half of an argument: its number from 0, how, and with what.
pub type Comparison = (u8, Operator, u32);

/// The calls of the 32-bit interface with 64-bit registers (x32) have these numbers and above. To the kernel they are of the
/// same architecture, so a list of other numbers would miss them.
#[cfg(target_arch = "x86_64")]
const FOREIGN: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const FOREIGN: Option<u32> = None;

/// `BPF_LD | BPF_W | BPF_ABS`.
pub const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`.
pub const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub const IF_AT_LEAST: u16 = 0x35;
/// `BPF_RET | BPF_K`.
pub const RETURN: u16 = 0x06;

/// Returns a filter that refuses calls with EPERM, if one of their rules matches or they have none. The calls in `missing`
/// fail with ENOSYS: their arguments are in memory, where no filter can look, and the C library has other calls.
///
/// # Errors
/// The reason, for example an architecture that seccompiler does not know.
pub fn compile(refused: BTreeMap<c_long, Vec<Rule>>, missing: &[c_long]) -> Result<Vec<Instruction>, String> {
    let architecture =
        TargetArch::try_from(ARCH).map_err(|_| format!("the architecture {ARCH} is not known"))?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, refuse, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    let instruction = |one: &seccompiler::sock_filter| Instruction {
        code: one.code,
        jump_true: one.jt,
        jump_false: one.jf,
        value: one.k,
    };
    Ok(missing_calls(missing).into_iter().chain(program.iter().map(instruction)).collect())
}

/// Returns the rule that matches if all comparisons do.
///
/// # Errors
/// When there is no such argument.
pub fn rule(comparisons: impl IntoIterator<Item = Comparison>) -> Result<Rule, BackendError> {
    let conditions = comparisons.into_iter().map(|(argument, operator, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
    });
    Rule::new(conditions.collect::<Result<_, _>>()?)
}

/// Returns the beginning of the program, which seccompiler cannot write: calls that fail with another error. All its jumps
/// are relative.
fn missing_calls(missing: &[c_long]) -> Vec<Instruction> {
    let plain = |code, value| Instruction { code, jump_true: 0, jump_false: 0, value };
    let calls = missing.iter().filter_map(|call| u32::try_from(*call).ok());
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
