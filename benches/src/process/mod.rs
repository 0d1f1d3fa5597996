//! Starts programs so that none of them outlives the benchmark, and reads what they print.

mod helper;
mod launch;
mod running;
mod scratch;
mod wait;

pub(crate) use helper::{Helper, send_line, wait_for_go};
pub(crate) use launch::{Start, launch, start};
pub(crate) use running::{Running, die_with_parent, own_executable};
pub(crate) use scratch::Scratch;
pub(crate) use wait::{monotonic, wait_readable};
