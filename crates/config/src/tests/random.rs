//! Random files.

use proptest::prelude::*;

use super::*;

#[test]
fn deep_nesting_is_an_error() {
    for text in [
        format!("{}x = 1", "a.".repeat(400_000)),
        format!("[{}x]", "a.".repeat(400_000)),
        format!("a = {}", "[".repeat(400_000)),
        format!("a = {}", "{a=".repeat(400_000)),
        format!("a = {}", "{a.b.c.d.e.f.g=".repeat(50_000)),
    ] {
        assert!(!errors(&text).is_empty());
    }
}

/// Something like a configuration.
fn document() -> impl Strategy<Value = String> {
    let names: Vec<String> = keys::TOP
        .iter()
        .chain(keys::SERVICE)
        .map(|key| key.path.to_owned())
        .chain(["x.y".to_owned()])
        .collect();
    let values: Vec<String> = keys::TOP
        .iter()
        .chain(keys::SERVICE)
        .map(|key| key.example.to_owned())
        .chain(["1", "-1", "true", "[]", "{}", "''", "[[1]]", "1.5", "nan", "'\\u0000'"].map(str::to_owned))
        .collect();
    let entry = (prop::sample::select(names), prop::sample::select(values))
        .prop_map(|(name, value)| format!("{name} = {value}\n"));
    let header =
        prop::sample::select(vec!["[services.a]\n", "[services.b]\n", "[[services.a.servers]]\n", ""]);
    prop::collection::vec((header, entry), 0..12)
        .prop_map(|parts| parts.into_iter().flat_map(|(header, entry)| [header.to_owned(), entry]).collect())
}

proptest! {
    #[test]
    fn any_text_gives_a_result(text in "\\PC{0,60}") {
        let _ = outcome(&text);
    }

    #[test]
    fn anything_like_a_configuration_gives_a_result(text in document()) {
        match outcome(&text).result {
            Ok(config) => prop_assert!(!config.services.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let line = problem.to_string();
                    prop_assert!(line.starts_with("d.toml") && !line.contains('\n'), "{}", line);
                }
            }
        }
    }

    #[test]
    fn a_configuration_with_a_missing_part_gives_a_result(from in 0usize..4000, length in 0usize..40) {
        let text = include_str!("../../../../docs/examples/dormouse.toml");
        let bitten: String = text.chars().take(from).chain(text.chars().skip(from + length)).collect();
        let _ = outcome(&bitten);
    }
}
