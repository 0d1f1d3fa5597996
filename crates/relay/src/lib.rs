//! Two sockets joined: what one side sends, the other receives, and the way one side ends is the way the other
//! sees it end.
//!
//! Bytes are copied through one buffer of the thread while they come in small pieces, and spliced through a pooled
//! pipe while they come in bulk. An idle session holds two descriptors and no buffer. A half-closed stream keeps its
//! other half; a reset arrives as a reset; a slow reader costs at most one buffer, and no CPU time.

#![forbid(unsafe_code)]

mod descriptors;
mod direction;
mod limits;
mod pipes;
mod prologue;
mod report;
mod session;
pub mod spares;
mod stream;
mod transfer;
mod trial;

pub use limits::Limits;
pub use pipes::Pipes;
pub use prologue::PrologueError;
pub use report::{Cut, End, Operation, Report, Side};
pub use session::Relay;
pub use stream::{Kind, Stream, reset_on_close};
pub use trial::{Said, Trial, Verdict};
