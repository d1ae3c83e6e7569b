//! The settings of a layer, and of each channel that it makes.

use std::time::Duration;

use kyneta_uds_unix::{AccessPolicy, ListenerOptions};

/// How a path is bound, which listeners are allowed, and how long messages are kept without members.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listener: ListenerOptions,
    pub(crate) allow_listener: Option<AccessPolicy>,
    pub(crate) regroup: Duration,
}

impl Settings {
    /// The access policy for listeners.
    pub(crate) fn allowed_listener(&self) -> AccessPolicy {
        let chosen = self.allow_listener.as_ref();
        chosen.unwrap_or(self.listener.allows()).clone()
    }
}
