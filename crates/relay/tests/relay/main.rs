//! The relay between two socket pairs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic fails the test")]

mod descriptor;
mod dropped;
mod flow;
mod limits;
mod rig;
mod side_channels;
