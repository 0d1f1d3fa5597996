//! The connection to the spawner: the process that does for dormouse what a restricted process cannot do.
//!
//! The spawner is started before dormouse restricts itself. It starts the programs that the configuration names, so that
//! they have the rights of the service's unit and not the restrictions of dormouse, looks into other processes, and gives
//! sockets their modes and owners. It receives at the start what it may start and change, and refuses everything else:
//! whoever takes over dormouse cannot start another program. Without a spawner dormouse does the same by itself.

mod ask;
mod change;
mod client;
mod process;
mod reports;
mod start;
mod wire;

pub(crate) use self::ask::{Question, ask};
pub(crate) use self::change::change_file;
pub use self::client::{COMMAND, ended, start};
pub(crate) use self::process::Process;
pub(crate) use self::reports::Report;
pub(crate) use self::start::{Descriptors, Startable, start_program};
pub(crate) use self::wire::{Received, Signalled, read_request, receive};
