//! The restriction of system calls, by seccomp: those that this program never makes, and that help an attacker who
//! controls it, fail with EPERM.
//!
//! The lists name what is refused, not what is allowed: the C library and its modules for names and users may begin to
//! use other calls with any update. Compare them with the groups of systemd (`systemd-analyze syscall-filter`).

mod arguments;
mod refused;

use dormouse_sys::seccomp::{self, Instruction, compile};

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
    let mut rules = arguments::rules().map_err(|error| error.to_string())?;
    rules.extend(refused::ALWAYS.iter().copied().flatten().map(|call| (*call, Vec::new())));
    compile(rules, &refused::MISSING)
}

#[cfg(test)]
mod tests;
