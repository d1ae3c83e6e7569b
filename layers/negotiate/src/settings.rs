//! The settings of a layer, and of each channel that it makes.

use std::time::Duration;

use kyneta_uds_unix::{AccessPolicy, ListenerOptions};

/// How a path is taken, and for how long an empty group is waited for.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listener: ListenerOptions,
    pub(crate) allow_listener: Option<AccessPolicy>,
    pub(crate) regroup: Duration,
}

impl Settings {
    /// Which listeners are dealt with.
    pub(crate) fn allowed_listener(&self) -> AccessPolicy {
        let chosen = self.allow_listener.as_ref();
        chosen.unwrap_or(self.listener.allows()).clone()
    }
}
