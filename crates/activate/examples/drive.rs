//! Drives one activator by hand: requests are words on standard input, events are lines on standard output.

#![expect(clippy::print_stdout, reason = "a tool for a terminal")]

use std::ffi::OsString;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::command::Commands;
use dormouse_activate::container::Container;
use dormouse_activate::exec::{Exec, Sandbox};
use dormouse_activate::unit::{Manager, Unit};
use dormouse_activate::{Activator, ActivatorConfig, ActivatorContext, LogLine, Request, RunProcesses};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "guard") {
        return dormouse_activate::exec::guard::main(std::env::args_os().skip(2));
    }
    let Some(config) = parse(&args) else {
        eprintln!(
            "drive exec|notify -- PROGRAM… | unit NAME MANAGER | container NAME [SOCKET] [healthy] | command START STOP…"
        );
        return ExitCode::FAILURE;
    };
    let log = Arc::new(|line: LogLine<'_>| println!("{line:?}"));
    let context = ActivatorContext {
        name: "drive".to_owned(),
        stop_timeout: Duration::from_secs(5),
        started_by_dormouse: false,
        processes: RunProcesses::default(),
        log,
    };
    let Activator { requests, mut events, task } = dormouse_activate::spawn(config, context);
    // The event loop cannot wait for standard input when it is a file.
    let (sender, mut words) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let mut requests = Some(requests);
    loop {
        tokio::select! {
            word = words.recv(), if requests.is_some() => {
                let request = match word.as_deref() {
                    Some("start") => Request::Start,
                    Some("stop") => Request::Stop,
                    Some("freeze") => Request::Freeze,
                    Some("thaw") => Request::Thaw,
                    Some(other) => { println!("unknown request {other}"); continue }
                    None => { requests = None; continue }
                };
                if let Some(requests) = &requests {
                    let _ = requests.send(request).await;
                }
            }
            event = events.recv() => match event {
                Some(event) => println!("{event:?}"),
                None => break,
            },
        }
    }
    println!("ended: {:?}", task.await);
    ExitCode::SUCCESS
}

fn parse(args: &[String]) -> Option<ActivatorConfig> {
    let kind = args.first()?.as_str();
    let rest: Vec<OsString> = args.iter().skip(1).filter(|arg| *arg != "--").map(OsString::from).collect();
    let shell = |index: usize| {
        let line = rest.get(index)?;
        Some(vec!["/bin/sh".into(), "-c".into(), line.clone()])
    };
    Some(match kind {
        "exec" | "notify" => ActivatorConfig::Exec(Exec {
            argv: rest,
            environment: Vec::new(),
            directory: None,
            user: None,
            sandbox: Sandbox::None,
            notify: kind == "notify",
        }),
        "unit" => ActivatorConfig::Unit(Unit {
            name: args.get(1)?.clone(),
            manager: if args.get(2)? == "user" { Manager::User } else { Manager::System },
        }),
        "container" => ActivatorConfig::Container(Container {
            name: args.get(1)?.clone(),
            engine: args.get(2).filter(|word| word.starts_with('/')).map(Into::into),
            healthy: args.last().is_some_and(|word| word == "healthy"),
        }),
        "command" => ActivatorConfig::Command(Commands {
            start: shell(0)?,
            stop: shell(1),
            freeze: shell(2),
            thaw: shell(3),
            status: shell(4),
        }),
        _ => return None,
    })
}
