//! What sleeps behind a socket and is woken, from outside: processes of ours, real units, real containers, commands.

mod after_crash;
mod command;
mod container;
mod exec;
mod many;
mod rules;
mod unit;
