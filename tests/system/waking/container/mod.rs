//! Containers behind a socket: real Podman, rootless and rootful, of Debian 12 and of Debian 13, and Docker.
//!
//! The images are made of the host's static busybox, so that no registry is needed. Each test has a machine of its own.

mod after_crash;
mod debian13;
mod docker;
mod faults;
mod podman;
mod rounds;
mod sleep;
mod story;
