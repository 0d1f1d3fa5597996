//! Units as workloads: a real nginx under a real user manager and a real system manager.
//!
//! Each test has its own machine.

mod failures;
mod managers;
mod other_programs;
mod rounds;
mod sleep;
pub(crate) mod stage;
