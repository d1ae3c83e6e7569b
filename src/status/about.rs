//! What a status report says of a role and that does not change.
//!
//! In: peer id and path, once. Out: the same, and the role's age. May touch: the clock.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use kyneta_uds_core::{PeerId, SocketPath};

/// A role's id, path and start time.
#[derive(Debug)]
pub(crate) struct About {
    since: Instant,
    id: OnceLock<PeerId>,
    path: OnceLock<SocketPath>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            id: OnceLock::new(),
            path: OnceLock::new(),
        }
    }
}

impl About {
    /// Called once, before the first connection.
    pub(crate) fn is(&self, id: PeerId) {
        let _ = self.id.set(id);
    }

    /// Called once, before the first connection.
    pub(crate) fn at(&self, path: SocketPath) {
        let _ = self.path.set(path);
    }

    pub(super) fn id(&self) -> Option<&PeerId> {
        self.id.get()
    }

    pub(super) fn path(&self) -> Option<&SocketPath> {
        self.path.get()
    }

    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}
