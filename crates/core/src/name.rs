//! The names of services, servers and workloads.

/// The largest number of servers that the name of a workload names.
const MOST_NAMED: usize = 3;

/// Returns whether a name is valid for a service or a server.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-'])
}

/// Returns whether a text may name a server in the log: by its service alone, or by both (`web/a`).
#[must_use]
pub fn is_full_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((service, server)) => is_name(service) && is_name(server),
        None => is_name(text),
    }
}

/// Returns the name of the workload of these servers: theirs (`game+console`), of which the first few are named
/// (`a+b+c+2 more`).
pub fn workload_name<'a>(mut servers: impl Iterator<Item = &'a str>) -> String {
    let named: Vec<_> = servers.by_ref().take(MOST_NAMED).collect();
    let name = named.join("+");
    match servers.count() {
        0 => name,
        more => format!("{name}+{more} more"),
    }
}

/// Returns the servers that the name of a workload names. `None`: it is not such a name.
#[must_use]
pub fn named_servers(workload: &str) -> Option<Vec<&str>> {
    let mut servers: Vec<_> = workload.split('+').collect();
    if servers.len() == MOST_NAMED + 1 {
        servers.pop()?.strip_suffix(" more")?.parse::<u32>().ok()?;
    }
    (servers.len() <= MOST_NAMED && servers.iter().all(|name| is_full_name(name))).then_some(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_has_one_or_two_names() {
        for valid in ["web", "web/a", "0", "a.b_c-d"] {
            assert!(is_full_name(valid), "{valid}");
        }
        let long = "x".repeat(65);
        for other in ["", "/", "web/", "/a", "a/b/c", "..", "a/..", "-a", "a b", "a\n", "$(a)", &long] {
            assert!(!is_full_name(other), "{other:?}");
        }
    }

    #[test]
    fn the_name_of_a_workload_names_its_servers() {
        for (servers, expected) in [
            (&["game"][..], "game"),
            (&["game", "rcon"], "game+rcon"),
            (&["web/a", "b", "c"], "web/a+b+c"),
            (&["a", "b", "c", "d", "e"], "a+b+c+2 more"),
        ] {
            let name = workload_name(servers.iter().copied());
            assert_eq!(name, expected);
            assert_eq!(named_servers(&name).unwrap(), servers.get(..3).unwrap_or(servers));
        }
        assert_eq!(workload_name(std::iter::empty()), "");
        for other in [
            "",
            "+",
            "a+",
            "a+../b",
            "a+b+c+d",
            "a+b+2 more",
            "a+b+c+x more",
            "a+b+c+-1 more",
            "a+b+c+1 more+e",
        ] {
            assert!(named_servers(other).is_none(), "{other:?}");
        }
    }
}
