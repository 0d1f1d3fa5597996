//! dormouse and its peers side by side: see `docs/benchmarks.md`.
#![forbid(unsafe_code)]

mod backend;
mod by_socket;
mod case;
mod cli;
mod error;
mod floor;
mod load;
mod metric;
mod net;
mod poller;
mod proc;
mod process;
mod report;
mod run;
mod site;
mod subjects;
mod woken;

use std::{env, process::ExitCode};

use cli::Command;

fn main() -> ExitCode {
    let done = cli::parse(env::args_os().skip(1)).and_then(|command| match command {
        Command::Help(text) => {
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(plan) => run::run(&plan),
        Command::Backend { mode, at } => {
            process::die_with_parent()?;
            backend::serve(mode, &at).map(|()| ExitCode::SUCCESS)
        }
        Command::Client { load, front, span } => {
            process::die_with_parent()?;
            load::client(load, &front, span).map(|()| ExitCode::SUCCESS)
        }
        Command::Woken { at, delay } => {
            process::die_with_parent()?;
            woken::serve(&at, delay).map(|()| ExitCode::SUCCESS)
        }
        Command::Floor { front, target } => {
            process::die_with_parent()?;
            floor::serve(&front, &target).map(|()| ExitCode::SUCCESS)
        }
        Command::Launch(args) => process::launch(args.into_iter()).map(|()| ExitCode::SUCCESS),
    });
    done.unwrap_or_else(|error| {
        eprintln!("dormouse-bench: {error}");
        ExitCode::FAILURE
    })
}
