//! One waker driven by hand: orders are words on standard input, news are lines on standard output.

#![expect(clippy::print_stdout, reason = "it is a tool that talks to a terminal")]

use std::ffi::OsString;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dormouse_wake::command::Commands;
use dormouse_wake::container::Container;
use dormouse_wake::exec::Exec;
use dormouse_wake::unit::{Manager, Unit};
use dormouse_wake::{Context, Line, Order, Wake, Waker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "guard") {
        return dormouse_wake::exec::guard::main(std::env::args_os().skip(2));
    }
    let Some(wake) = parse(&args) else {
        eprintln!(
            "drive exec|notify -- PROGRAM… | unit NAME MANAGER | container NAME [SOCKET] [healthy] | command START STOP…"
        );
        return ExitCode::FAILURE;
    };
    let tell = Arc::new(|line: Line<'_>| println!("{line:?}"));
    let context =
        Context { name: "drive".to_owned(), stop_timeout: Duration::from_secs(5), ours: false, tell };
    let Waker { orders, mut news, task } = dormouse_wake::spawn(wake, context);
    // Standard input cannot be waited for by the event loop when it is a file.
    let (words, mut taken) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if words.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let mut orders = Some(orders);
    loop {
        tokio::select! {
            word = taken.recv(), if orders.is_some() => {
                let order = match word.as_deref() {
                    Some("start") => Order::Start,
                    Some("stop") => Order::Stop,
                    Some("freeze") => Order::Freeze,
                    Some("thaw") => Order::Thaw,
                    Some(other) => { println!("unknown order {other}"); continue }
                    None => { orders = None; continue }
                };
                if let Some(orders) = &orders {
                    let _ = orders.send(order).await;
                }
            }
            told = news.recv() => match told {
                Some(told) => println!("{told:?}"),
                None => break,
            },
        }
    }
    println!("ended: {:?}", task.await);
    ExitCode::SUCCESS
}

fn parse(args: &[String]) -> Option<Wake> {
    let kind = args.first()?.as_str();
    let rest: Vec<OsString> = args.iter().skip(1).filter(|arg| *arg != "--").map(OsString::from).collect();
    let shell = |index: usize| {
        let line = rest.get(index)?;
        Some(vec!["/bin/sh".into(), "-c".into(), line.clone()])
    };
    Some(match kind {
        "exec" | "notify" => Wake::Exec(Exec {
            argv: rest,
            environment: Vec::new(),
            directory: None,
            notify: kind == "notify",
        }),
        "unit" => Wake::Unit(Unit {
            name: args.get(1)?.clone(),
            manager: if args.get(2)? == "user" { Manager::User } else { Manager::System },
        }),
        "container" => Wake::Container(Container {
            name: args.get(1)?.clone(),
            engine: args.get(2).filter(|word| word.starts_with('/')).map(Into::into),
            healthy: args.last().is_some_and(|word| word == "healthy"),
        }),
        "command" => Wake::Command(Commands {
            start: shell(0)?,
            stop: shell(1),
            freeze: shell(2),
            thaw: shell(3),
            status: shell(4),
        }),
        _ => return None,
    })
}
