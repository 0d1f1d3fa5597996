//! From values to tables.

mod gate;
mod statistics;
mod table;

use std::{fmt::Write as _, fs, path::Path, process::ExitCode};

use crate::{
    cli::Plan,
    error::{Doing, Error, Result},
    run::Results,
};

const BEGIN: &str = "<!-- table:begin -->";
const END: &str = "<!-- table:end -->";

/// Prints everything, writes the file that was asked for, and judges.
pub(crate) fn print(plan: &Plan, results: &Results) -> Result<ExitCode> {
    println!("{}", table::absolute(plan, results));
    let ratios = ratios(plan, results);
    println!("{ratios}");
    if let Some(file) = &plan.markdown {
        replace_between_markers(file, &ratios)?;
    }
    let kept = !plan.gate || gate::judge(plan, results);
    if !results.failures.is_empty() {
        println!("{} measures failed:", results.failures.len());
    }
    for failure in &results.failures {
        println!("- {}", failure.lines().next().unwrap_or_default());
    }
    Ok(if kept && results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ratios(plan: &Plan, results: &Results) -> String {
    let mut text = table::ratios(plan, results);
    let _ = writeln!(text, "{}", table::circumstances(plan));
    text
}

fn replace_between_markers(file: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).doing(|| format!("read {}", file.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| Error::NoMarkers(file.to_owned()))?;
    let text = format!("{head}{BEGIN}\n{}\n{END}{tail}", table.trim());
    fs::write(file, text).doing(|| format!("write {}", file.display()))
}
