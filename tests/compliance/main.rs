//! One suite, two subjects: this program and the systemd-socket-proxyd that is installed, both seen from
//! outside.
//!
//! A case does something to a subject and says in a line of text what came of it; the case's expectation says
//! what that line must be for each of the two (and for which release of the original). Every expectation that
//! differs on purpose names a row of `docs/differences.md`; `differences` checks that they agree.
//!
//! Needs root (one case runs its subject without privileges) and the original (Debian's package `systemd`).
//! A case that cannot run fails and says what is missing.

#![forbid(unsafe_code)]

mod case;
mod rig;

mod accept;
mod command_line;
mod differences;
mod extras;
mod forwarding;
mod idle;
mod lifecycle;
mod notifications;
mod proxy_header;
mod sockets;
mod target;
mod weaknesses;
