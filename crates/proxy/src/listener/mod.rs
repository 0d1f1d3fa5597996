//! Listeners: sockets that the service manager passes, or that dormouse opens.

mod handle;
mod open;
mod passed;
mod path;
mod socket;
mod socket_file;

pub use handle::{AcceptSocket, Listener, SetFileError};
pub use open::{OpenError, adopt, open};
pub use passed::{Passed, PassedError, PassedFds, classify, warn_of_left_out};
pub use path::{UnsafePath, unsafe_path};
