//! Prints the results as tables.

mod gate;
mod statistics;
mod table;

use std::{fmt::Write as _, fs, path::Path, process::ExitCode};

use crate::{
    error::{Error, ErrorContext, Result},
    plan::Plan,
    results::Results,
};

const BEGIN: &str = "<!-- table:begin -->";
const END: &str = "<!-- table:end -->";

/// Prints the tables, updates the Markdown file, and checks the bounds.
pub(crate) fn print(plan: &Plan, results: &Results) -> Result<ExitCode> {
    println!("{}", table::absolute(plan, results));
    let ratios = ratios(plan, results);
    println!("{ratios}");
    if let Some(file) = &plan.markdown {
        replace_between_markers(file, &ratios)?;
    }
    let bounds_met = !plan.gate || gate::check(plan, results);
    if !results.failures.is_empty() {
        println!("failed measurements: {}", results.failures.len());
    }
    for failure in &results.failures {
        println!("- {}", failure.lines().next().unwrap_or_default());
    }
    Ok(if bounds_met && results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ratios(plan: &Plan, results: &Results) -> String {
    let mut text = table::ratios(plan, results);
    let _ = writeln!(text, "{}", table::environment(plan));
    text
}

fn replace_between_markers(file: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).context(|| format!("read {}", file.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| Error::NoMarkers(file.to_owned()))?;
    let text = format!("{head}{BEGIN}\n{}\n{END}{tail}", table.trim());
    fs::write(file, text).context(|| format!("write {}", file.display()))
}
