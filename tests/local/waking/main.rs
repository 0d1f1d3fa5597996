//! What sleeps behind a socket and is woken, from outside: child processes and commands.

mod after_crash;
mod command;
mod exec;
mod many;
mod rules;
