//! The relay between two socket pairs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test: what fails fails it")]

mod descriptor;
mod dropped;
mod flow;
mod limits;
mod rig;
mod side_channels;
