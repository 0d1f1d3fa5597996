//! `dormouse convert`: a configuration of `HAProxy`, as the file of `dormouse run`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::{self, Definition, Stop};
use super::out;
use crate::config::{self, Surroundings};
use crate::convert::{Kind, convert};

/// A flag of `dormouse convert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    Output,
    Help,
}

/// The flags of `dormouse convert`.
pub(crate) const CONVERT: &[Definition<Flag>] = &[
    Definition {
        flag: Flag::Output,
        spec: OptSpec { short: Some('o'), long: "output", arg: Arg::Required, tier: Tier::Ours },
        value: "FILE",
        help: &["Write the result there, not to standard output"],
        manual: "Write the result to this file, which appears (or is replaced) whole. Without it the result goes to \
                 standard output.",
    },
    flags::for_help(Flag::Help),
];

/// Something was left out.
const INCOMPLETE: u8 = 1;
/// Nothing was converted.
const NOTHING: u8 = 2;

/// Somebody has named the wrong file when it is larger.
const LARGEST: u64 = 4 << 20;

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut output = None;
    let files = flags::read("dormouse convert", CONVERT, args, |flag, value| {
        match flag {
            Flag::Output => output = Some(PathBuf::from(value)).filter(|path| path != Path::new("-")),
            Flag::Help => return Err(Stop::Help),
        }
        Ok(())
    });
    let mut files = match files {
        Ok(files) => files.into_iter().map(PathBuf::from),
        Err(Stop::Help) => return out::print(help()),
        Err(Stop::Wrong(what)) => return failed(&what),
    };
    let (Some(file), None) = (files.next(), files.next()) else {
        return failed("One file is converted at a time; see dormouse convert --help.");
    };
    match converted(&file, output.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    out::complain(message);
    ExitCode::from(NOTHING)
}

fn help() -> String {
    format!(
        "dormouse convert [OPTIONS...] HAPROXY.CFG\n\n\
         Turn a configuration of HAProxy for TCP (mode tcp) into a file for dormouse run. Each line that cannot be taken\n\
         over is named on standard error, and in comments at the top of the result, with what to do instead.\n\n\
         {}\n\
         Exit status: 0 all was taken over, 1 something was left out, 2 this is no configuration of HAProxy.\n\
         See dormouse-convert(1), dormouse.toml(5).\n",
        flags::help(CONVERT)
    )
}

/// Converts the file and tells what is to be told. Returns whether all was taken over.
fn converted(file: &Path, output: Option<&Path>) -> Result<bool, String> {
    let name = file.to_string_lossy();
    let text = read(file).map_err(|why| format!("{name}: {why}"))?;
    let converted = convert(&name, &text, |name| std::env::var_os(name)?.into_string().ok())
        .map_err(|error| format!("{} (no configuration of HAProxy)", error.shown(&name)))?;
    let mut told = String::new();
    for finding in &converted.findings {
        let note = if finding.kind == Kind::Note { " (note)" } else { "" };
        // A String takes whatever is written to it.
        let _ = writeln!(told, "{}{note}", finding.shown(&name));
    }
    let mut complete = converted.is_complete();
    let left = converted.findings.iter().filter(|finding| finding.kind == Kind::Left).count();
    if left > 0 {
        let _ = writeln!(
            told,
            "{name}: {left} of these were left out; the comments at the top of the result repeat them."
        );
    }
    let result = output.unwrap_or_else(|| Path::new("the result"));
    let outcome = config::read(&[config::single(result, &converted.toml)], Surroundings::here());
    for problem in outcome.result.err().unwrap_or_default() {
        complete = false;
        let _ = writeln!(told, "{problem} (dormouse check)");
    }
    match output {
        Some(output) => write(output, &converted.toml)?,
        None => out::write(&converted.toml).map_err(|error| format!("standard output: {error}"))?,
    }
    if !told.is_empty() {
        out::complain(told.trim_end());
    }
    Ok(complete)
}

fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > LARGEST) => {
            Err(format!("larger than {} MiB; name a configuration of HAProxy", LARGEST >> 20))
        }
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Puts the file in its place when it is whole.
fn write(output: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: cannot be written: {error}", output.display());
    let mut name = OsString::from(".");
    name.push(output.file_name().ok_or_else(|| failed(std::io::ErrorKind::IsADirectory.into()))?);
    name.push(format!(".{}", std::process::id()));
    let temporary = output.with_file_name(name);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, output));
    written.map_err(|error| {
        // What is left of it is of no use, and there may be nothing.
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}
