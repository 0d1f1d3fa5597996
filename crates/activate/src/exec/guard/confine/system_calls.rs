//! The system calls that a program with the user of dormouse must not have. The kernel lets a process change the limits and
//! the priority of each process of its user, also from a user namespace, and Landlock does not restrict that: a limit of 8
//! descriptors for dormouse, and it serves nobody.

use std::collections::BTreeMap;

use dormouse_sys::seccomp::{self, BackendError, Operator, Rule, compile, rule};

/// Calls whose first argument is the process, and 0 the caller.
const BY_PROCESS: [libc::c_long; 6] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_migrate_pages,
];
/// Calls whose first argument tells what the second one is, and the value for a user, all of whose processes they change.
const BY_KIND: [(libc::c_long, u32); 2] =
    [(libc::SYS_setpriority, libc::PRIO_USER), (libc::SYS_ioprio_set, IOPRIO_WHO_USER)];
/// `ioprio_set(2)`.
const IOPRIO_WHO_USER: u32 = 3;

/// Restricts this process to itself where it changes limits and priorities.
///
/// # Errors
/// Why it cannot.
pub(super) fn restrict() -> Result<(), String> {
    let rules = rules().map_err(|error| error.to_string())?;
    seccomp::restrict_program(&compile(rules, &[])?).map_err(|error| error.to_string())
}

fn rules() -> Result<BTreeMap<libc::c_long, Vec<Rule>>, BackendError> {
    let mut rules = BTreeMap::new();
    for call in BY_PROCESS {
        rules.insert(call, vec![rule([(0, Operator::Ne, 0)])?]);
    }
    for (call, user) in BY_KIND {
        rules.insert(call, vec![rule([(1, Operator::Ne, 0)])?, rule([(0, Operator::Eq, user)])?]);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::io::Errno;
    use rustix::process::{
        Resource, getpid, getppid, getpriority_process, getrlimit, prlimit, setpriority_process, setrlimit,
    };

    use super::*;

    /// Only the thread that restricts itself is restricted.
    #[test]
    fn a_restricted_thread_changes_its_own_limits_alone() {
        let limits = getrlimit(Resource::Core);
        let limit = || getrlimit(Resource::Core);
        assert!(prlimit(Some(getpid()), Resource::Core, limits).is_ok());
        let restricted = thread::spawn(move || {
            restrict().unwrap();
            let priority = getpriority_process(None).unwrap();
            (
                setrlimit(Resource::Core, limit()),
                setpriority_process(None, priority),
                prlimit(Some(getpid()), Resource::Core, limit()).map(drop),
                setpriority_process(getppid(), priority),
            )
        });
        let (own_limit, own_priority, limit_of_other, priority_of_other) = restricted.join().unwrap();
        assert_eq!((own_limit, own_priority), (Ok(()), Ok(())));
        assert_eq!((limit_of_other, priority_of_other), (Err(Errno::PERM), Err(Errno::PERM)));
    }
}
