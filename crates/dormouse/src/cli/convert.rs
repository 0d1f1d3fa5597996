//! `dormouse convert`: a configuration of `HAProxy`, as the file of `dormouse run`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dormouse_config::Surroundings;
use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::{self, Definition, Stop};
use super::out;
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
        manual: "Write the result to this file, which appears (or is replaced, with its mode) whole. A symbolic link is \
                 followed; what is no file, a pipe for example, is written to. Without it the result goes to standard \
                 output.",
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
    let outcome =
        dormouse_config::read(&[dormouse_config::single(result, &converted.toml)], Surroundings::here());
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

/// Puts the file in its place when it is whole. What stands there and is no file takes the text as it comes.
fn write(output: &Path, text: &str) -> Result<(), String> {
    let written = match fs::metadata(output) {
        // The file that a symbolic link leads to is the one that is meant.
        Ok(old) if old.is_file() => {
            fs::canonicalize(output).and_then(|path| replace(&path, text, Some(&old)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !output.is_symlink() => {
            replace(output, text, None)
        }
        Ok(_) => {
            File::options().write(true).open(output).and_then(|mut file| file.write_all(text.as_bytes()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => fs::write(output, text),
        Err(error) => Err(error),
    };
    written.map_err(|error| format!("{}: cannot be written: {error}", output.display()))
}

/// Writes a file beside this one, which then takes its place; whoever could read the old one can read the new one.
fn replace(path: &Path, text: &str, old: Option<&Metadata>) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(ErrorKind::IsADirectory)?);
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(if old.is_some() { 0o600 } else { 0o666 })
        .open(&temporary)
        .and_then(|mut file| {
            if let Some(old) = old {
                // Only root can give a file away; another one's file becomes ours then, as it would without us.
                let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
                file.set_permissions(old.permissions())?;
            }
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use, and there may be nothing.
        let _ = fs::remove_file(&temporary);
    }
    written
}
