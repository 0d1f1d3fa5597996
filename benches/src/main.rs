//! Compares dormouse with its peers; see `docs/benchmarks.md`.
#![forbid(unsafe_code)]

mod backend;
mod case;
mod cli;
mod error;
mod fd_map;
mod floor;
mod load;
mod metric;
mod net;
mod plan;
mod poller;
mod proc;
mod process;
mod report;
mod results;
mod run;
mod spec;
mod subjects;
mod testbed;
mod transport;
mod wake_server;

use std::{env, process::ExitCode};

use cli::Command;

fn main() -> ExitCode {
    let result = cli::parse(env::args_os().skip(1)).and_then(|command| match command {
        Command::Help(text) => {
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(plan) => run::run(&plan),
        Command::Backend { mode, at } => {
            process::die_with_parent()?;
            backend::serve(mode, &at).map(|()| ExitCode::SUCCESS)
        }
        Command::Client { load, front, timing } => {
            process::die_with_parent()?;
            load::run_client(load, &front, timing).map(|()| ExitCode::SUCCESS)
        }
        Command::WakeServer { at, delay } => {
            process::die_with_parent()?;
            wake_server::serve(&at, delay).map(|()| ExitCode::SUCCESS)
        }
        Command::Floor { front, target } => {
            process::die_with_parent()?;
            floor::serve(&front, &target).map(|()| ExitCode::SUCCESS)
        }
        Command::Launch(args) => process::launch(args.into_iter()).map(|()| ExitCode::SUCCESS),
    });
    result.unwrap_or_else(|error| {
        eprintln!("dormouse-bench: {error}");
        ExitCode::FAILURE
    })
}
