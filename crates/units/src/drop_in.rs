//! The drop-in for the unit, systemd.unit(5).

use std::fmt::Write as _;

use super::{Need, Remedy, Setting};

/// Returns the text of the drop-in. Each group of lines follows the reasons for it.
pub(super) fn text(needs: &[Need]) -> String {
    let mut text = String::from(
        "# The rights that the configuration needs in addition to those of the shipped dormouse.service, each below its reason.\n\
         # Written by dormouse check --drop-in: write it again when the configuration changes.\n\
         # Save it as /etc/systemd/system/dormouse.service.d/50-configuration.conf, then: systemctl daemon-reload\n",
    );
    if needs.is_empty() {
        text.push_str("# The configuration needs no further rights.\n");
        return text;
    }
    // Writing to a String cannot fail.
    for need in needs {
        let Remedy::Advice(lines) = &need.remedy else { continue };
        let _ = writeln!(text, "#\n# {}: {}.", comment(&need.place), comment(&need.why));
        for line in lines {
            let _ = writeln!(text, "# {}", comment(line));
        }
    }
    let lines = lines(needs);
    if !lines.is_empty() {
        text.push_str("[Service]\n");
    }
    let mut above: &[&Need] = &[];
    for ((key, value), reasons) in &lines {
        if !is_same(above, reasons) {
            for need in reasons {
                let _ = writeln!(text, "# {}: {}", comment(&need.place), comment(&need.why));
            }
            above = reasons;
        }
        let _ = writeln!(text, "{key}={}", escape(value, takes_words(key)));
    }
    text
}

/// Returns each line once, with all that need it.
fn lines(needs: &[Need]) -> Vec<(&Setting, Vec<&Need>)> {
    let mut lines: Vec<(&Setting, Vec<&Need>)> = Vec::new();
    for need in needs {
        let Remedy::DropIn(settings) = &need.remedy else { continue };
        for setting in settings {
            match lines.iter_mut().find(|(line, _)| *line == setting) {
                Some((_, reasons)) => reasons.push(need),
                None => lines.push((setting, vec![need])),
            }
        }
    }
    lines
}

fn is_same(some: &[&Need], others: &[&Need]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| std::ptr::eq(*one, *other))
}

/// Returns whether the value is a fixed list of words, which is never quoted.
fn takes_words(key: &str) -> bool {
    !matches!(key, "ReadWritePaths" | "RuntimeDirectory")
}

/// Writes a value so that the service manager reads it unchanged: specifiers, quotes and control characters are escaped.
fn escape(value: &str, words: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:,+=~".contains(c);
    if value.chars().all(|c| plain(c) || words && c == ' ') {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '%' => text.push_str("%%"),
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\x{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Returns a text for a comment, which ends with its line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect::<String>()
        .trim_end_matches('\\')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(place: &str, settings: &[(&'static str, &str)]) -> Need {
        let settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Need { place: place.to_owned(), why: "why".to_owned(), remedy: Remedy::DropIn(settings) }
    }

    #[test]
    fn a_line_that_two_groups_need_stands_once() {
        let tmp = ("PrivateTmp", "no");
        let text = text(&[
            need("a", &[tmp, ("ReadWritePaths", "-/tmp/a")]),
            need("b", &[tmp]),
            need("c", &[tmp, ("ReadWritePaths", "-/tmp/c")]),
        ]);
        let (_, service) = text.split_once("[Service]\n").unwrap();
        assert_eq!(
            service,
            "# a: why\n# b: why\n# c: why\nPrivateTmp=no\n# a: why\nReadWritePaths=-/tmp/a\n# c: why\nReadWritePaths=-/tmp/c\n"
        );
    }

    #[test]
    fn equal_lines_stand_once_below_all_reasons() {
        let bind = [("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE")];
        let other = [("ReadWritePaths", "-/srv/a b")];
        let text = text(&[need("a", &bind), need("b", &other), need("c", &bind)]);
        let (_, service) = text.split_once("[Service]\n").unwrap();
        assert_eq!(
            service,
            "# a: why\n# c: why\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n# b: why\nReadWritePaths=\"-/srv/a b\"\n"
        );
    }

    #[test]
    fn nothing_is_needed_and_no_section_is_written() {
        assert!(!text(&[]).contains("[Service]"));
    }

    /// Reads a quoted word as systemd does.
    fn unescape(text: &str) -> String {
        let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
            return text.replace("%%", "%");
        };
        let (mut bytes, mut rest) = (Vec::new(), inner.bytes());
        while let Some(byte) = rest.next() {
            match byte {
                b'\\' => match rest.next().unwrap() {
                    b'x' => {
                        let digits = [rest.next().unwrap(), rest.next().unwrap()];
                        let digits = std::str::from_utf8(&digits).unwrap();
                        bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    }
                    byte => bytes.push(byte),
                },
                b'%' => {
                    assert_eq!(rest.next(), Some(b'%'), "{text}");
                    bytes.push(b'%');
                }
                b'"' => panic!("{text}: the word ends early"),
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn a_path_is_read_unchanged_and_stays_on_its_line(path in any::<String>()) {
            let escaped = escape(&path, false);
            prop_assert!(!escaped.contains(|c: char| c.is_control()), "{escaped:?}");
            prop_assert_eq!(unescape(&escaped), path);
        }

        #[test]
        fn a_comment_stays_on_its_line(text in any::<String>()) {
            let line = comment(&text);
            // A backslash at its end would continue the comment.
            prop_assert!(!line.contains(|c: char| c.is_control()) && !line.ends_with('\\'));
        }
    }
}
