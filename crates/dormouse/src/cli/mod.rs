//! The command line: which command is meant, and under which name.

mod completion;
mod flags;
mod manual;
mod proxy;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use dormouse_sys::listen_fds::{ListenFdsError, PassedFd};

/// The name under which the program behaves as the one that it takes the place of.
const ORIGINAL: &str = "systemd-socket-proxyd";

/// The commands, as they are completed.
const COMMANDS: [&str; 5] = ["proxy", "help", "version", "manual", "completion"];

/// What the service manager passed to the process.
pub type Passed = Result<Vec<PassedFd>, ListenFdsError>;

/// Runs the program with these arguments (the first is its name) and these descriptors.
pub fn run(args: impl IntoIterator<Item = OsString>, passed: Passed) -> ExitCode {
    let mut args = args.into_iter();
    let argv0 = args.next().unwrap_or_else(|| "dormouse".into());
    if Path::new(&argv0).file_name() == Some(OsStr::new(ORIGINAL)) {
        return proxy::run(&argv0, args, passed);
    }
    let Some(command) = args.next() else {
        eprint!("{}", usage());
        return ExitCode::FAILURE;
    };
    match command.to_str() {
        Some("proxy") => proxy::run(&argv0, args, passed),
        Some("-h" | "--help" | "help") => {
            print!("{}", usage());
            ExitCode::SUCCESS
        }
        Some("-V" | "--version" | "version") => {
            println!("{}", version());
            ExitCode::SUCCESS
        }
        Some("manual") => {
            print!("{}", manual::proxy());
            ExitCode::SUCCESS
        }
        Some("completion") => {
            print!("{}", completion::bash());
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("Unknown command {}.", command.to_string_lossy());
            eprintln!(
                "Known: {}. To take the place of {ORIGINAL}: dormouse proxy TARGET",
                COMMANDS.join(", ")
            );
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    format!(
        "{}\n\nUsage: dormouse COMMAND [OPTIONS...]\n\n\
         Commands:\n\
         \x20 proxy       Pass connections on to one target, in the place of {ORIGINAL}\n\
         \x20 help        Show this help; `dormouse COMMAND --help` tells of one command\n\
         \x20 version     Show the version\n\
         \x20 manual      Print the manual page of `dormouse proxy`, for man(1)\n\
         \x20 completion  Print the completion for bash\n",
        env!("CARGO_PKG_DESCRIPTION")
    )
}

fn version() -> String {
    format!("dormouse {} (in the place of {ORIGINAL} 261)", env!("CARGO_PKG_VERSION"))
}
