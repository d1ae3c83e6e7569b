//! Why a process could not take over.

use std::{io, path::PathBuf};

use crate::Refusal;

/// Why a process has not taken over. Whatever served before serves on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// The control channel could not be opened.
    #[error("the control channel at {} could not be opened", path.display())]
    Channel {
        /// Its path.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// One of the two processes has refused.
    #[error("no handoff from the process at {}: {why}", path.display())]
    Refused {
        /// The path of the control channel.
        path: PathBuf,
        /// Why.
        why: Refusal,
    },
}
