//! `dormouse convert`: converts an `HAProxy` configuration to the file of `dormouse run`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dormouse_config::Environment;
use dormouse_convert::{FindingKind, convert};
use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::{self, Definition, Stop};
use super::out;

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
        spec: OptSpec { short: Some('o'), long: "output", arg: Arg::Required, tier: Tier::Extension },
        value: "FILE",
        help: &["Write the result to FILE instead of standard output"],
        manual: "Write the result to FILE instead of standard output. An existing file is replaced atomically and keeps \
                 its mode. Symbolic links are followed. A pipe or a device is written to.",
    },
    flags::for_help(Flag::Help),
];

/// The exit status if a line was omitted.
const INCOMPLETE: u8 = 1;
/// The exit status if nothing was converted.
const FAILED: u8 = 2;

/// The largest input, in bytes. A larger file is not an `HAProxy` configuration.
const MAX_INPUT: u64 = 4 << 20;

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
        return failed("dormouse convert needs exactly one file; see dormouse convert --help.");
    };
    match convert_file(&file, output.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    out::complain(message);
    ExitCode::from(FAILED)
}

fn help() -> String {
    format!(
        "dormouse convert [OPTIONS...] HAPROXY.CFG\n\n\
         Convert an HAProxy configuration (mode tcp) to a file for dormouse run. Lines that cannot be converted are\n\
         reported on standard error, and in comments at the top of the result, with what to do instead.\n\n\
         {}\n\
         Exit status: 0 complete, 1 lines were omitted, 2 failed, for example because it is not an HAProxy configuration.\n\
         See dormouse-convert(1), dormouse.toml(5).\n",
        flags::help(CONVERT)
    )
}

/// Converts the file and reports the findings. Returns whether the conversion is complete.
fn convert_file(file: &Path, output: Option<&Path>) -> Result<bool, String> {
    let name = file.to_string_lossy();
    let text = read(file).map_err(|why| format!("{name}: {why}"))?;
    let converted = convert(&name, &text, |name| std::env::var_os(name)?.into_string().ok())
        .map_err(|error| format!("{} (not an HAProxy configuration)", error.display(&name)))?;
    let mut messages = String::new();
    for finding in &converted.findings {
        let note = if finding.kind == FindingKind::Note { " (note)" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(messages, "{}{note}", finding.display(&name));
    }
    let mut complete = converted.is_complete();
    let omitted = converted.findings.iter().filter(|finding| finding.kind == FindingKind::Omitted).count();
    if omitted > 0 {
        let _ =
            writeln!(messages, "{name}: omissions: {omitted}; comments at the top of the result repeat them");
    }
    let result = output.unwrap_or_else(|| Path::new("the result"));
    let outcome =
        dormouse_config::read(&[dormouse_config::single(result, &converted.toml)], Environment::current());
    for problem in outcome.result.err().unwrap_or_default() {
        complete = false;
        let _ = writeln!(messages, "{problem} (dormouse check)");
    }
    match output {
        Some(output) => write(output, &converted.toml)?,
        None => out::write_document(&converted.toml).map_err(|error| format!("standard output: {error}"))?,
    }
    if !messages.is_empty() {
        out::complain(messages.trim_end());
    }
    Ok(complete)
}

fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > MAX_INPUT) => {
            Err(format!("larger than {} MiB; name an HAProxy configuration", MAX_INPUT >> 20))
        }
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Replaces a regular file atomically. Writes to anything else, for example a pipe.
fn write(output: &Path, text: &str) -> Result<(), String> {
    let written = match fs::metadata(output) {
        // Replace the target of a symbolic link, not the link.
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
    written.map_err(|error| format!("{}: cannot be written: {error}{}", output.display(), advice(output)))
}

/// Returns the remedy if the directory of the file is missing.
fn advice(output: &Path) -> String {
    match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            let parent = parent.display();
            format!("; the directory {parent} is missing; create it: mkdir -p {parent}")
        }
        _ => String::new(),
    }
}

/// Writes a temporary file and renames it to `path`. Keeps the owner and the mode of the old file.
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
                // Only root can change the owner; without root the file belongs to the caller.
                let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
                file.set_permissions(old.permissions())?;
            }
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The file may not exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}
