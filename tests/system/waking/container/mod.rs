//! Containers as workloads: real Podman, rootless and rootful, of Debian 12 and Debian 13, and Docker.
//!
//! The images contain the host's static busybox, so that no registry is needed. Each test has its own machine.

mod after_crash;
mod debian13;
mod docker;
mod faults;
mod life_cycle;
pub(crate) mod podman;
mod rounds;
mod sleep;
