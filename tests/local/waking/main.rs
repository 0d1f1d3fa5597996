//! Workloads that dormouse wakes: child processes and commands.

mod after_crash;
mod command;
mod exec;
mod many;
mod rules;
mod shared;
