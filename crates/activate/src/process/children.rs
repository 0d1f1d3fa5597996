//! The children of a process, as /proc lists them.

use std::fs;
use std::path::Path;

use rustix::process::Pid;

use super::{parse_pid, parse_stat};

/// Returns the numbers that the children of a process have now.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(parse_pid)),
            // The kernel has no lists of children, unless the thread has just ended.
            Err(_) if thread.path().join("stat").exists() => return children_by_scan(parent),
            Err(_) => {}
        }
    }
    found
}

/// Finds the children of a process on kernels without lists of children.
fn children_by_scan(parent: Pid) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let is_child = |directory: &Path| {
        let stat = fs::read_to_string(directory.join("stat")).ok();
        stat.and_then(|stat| parse_stat(&stat)).is_some_and(|stat| stat.parent == Some(parent))
    };
    all.flatten()
        .filter(|entry| is_child(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str().and_then(parse_pid))
        .collect()
}
