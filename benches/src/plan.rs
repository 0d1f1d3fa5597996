//! What one run of the benchmark measures.

use std::path::PathBuf;

use crate::{
    case::{Case, Parameters},
    subjects::Subject,
    transport::Transport,
};

/// The settings of one run, from the command line.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) parameters: Parameters,
    pub(crate) seed: u64,
    pub(crate) gate: bool,
    pub(crate) markdown: Option<PathBuf>,
}
