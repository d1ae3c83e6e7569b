//! The settings of a layer, and of each channel that it makes.
//!
//! In: the setters of the layer. Out: one value that all its channels share. Touches nothing.

use std::time::Duration;

use kyneta_uds_unix::{AccessPolicy, ListenerOptions};

use crate::{machine::Only, role_watch::RoleWatch};

/// How a path is bound, which listeners are allowed, how long messages are kept without members; what handles
/// accepted connections, the role if it is fixed, and what shows it.
#[derive(Debug, Clone)]
pub(crate) struct Settings<A> {
    pub(crate) accept_handler: A,
    pub(crate) listener: ListenerOptions,
    pub(crate) allow_listener: Option<AccessPolicy>,
    pub(crate) regroup: Duration,
    pub(crate) only: Option<Only>,
    pub(crate) role_watch: RoleWatch,
}

impl<A> Settings<A> {
    pub(crate) fn new(accept_handler: A) -> Self {
        Self {
            accept_handler,
            listener: ListenerOptions::new(),
            allow_listener: None,
            regroup: Duration::from_secs(5),
            only: None,
            role_watch: RoleWatch::new(),
        }
    }

    /// The access policy for listeners.
    pub(crate) fn allowed_listener(&self) -> AccessPolicy {
        let chosen = self.allow_listener.as_ref();
        chosen.unwrap_or(self.listener.allows()).clone()
    }
}
