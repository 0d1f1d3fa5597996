//! The names of services and servers.

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
}
