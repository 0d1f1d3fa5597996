//! Reads the source of a crate and finds circles between its modules.
//!
//! The check works on syntax alone: it parses each file, resolves paths (also inside macro calls) to modules, and
//! follows `use` and `pub use` to the module that defines a name. Items under `#[cfg(test)]` are left out.
//!
//! A method call on a value has no path. Such a call is seen only where its receiver is `self`.

mod circles;
mod paths;
mod read;
mod resolve;

pub use circles::{Circle, circles};
pub use read::{Error, Source, read};
