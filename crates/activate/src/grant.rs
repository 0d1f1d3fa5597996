//! What the spawner may do.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::permissions::Changeable;
use crate::program::Program;

/// What the spawner may do for dormouse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The programs that it may start.
    pub programs: HashSet<Program>,
    /// The files that it may change.
    pub files: Changeable,
}
