//! What a hub reports.

use std::{any::Any, sync::Arc, time::Duration};

use kyneta_uds_core::{DocId, panic_text};
use kyneta_uds_relay::{Diagnostic, MemberFacts};

/// What a hub reports, beside the messages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HubEvent {
    /// A message, or a part of it, had no effect.
    Diagnostic {
        /// Whose message.
        member: Arc<MemberFacts>,
        /// About which document, if about one.
        doc: Option<DocId>,
        /// Why.
        diagnostic: Diagnostic,
    },
    /// A member sends more than its [`Rates`](crate::Rates) allow: nothing is read from it for a time.
    HeldBack {
        /// Which member.
        member: Arc<MemberFacts>,
        /// For how long.
        pause: Duration,
    },
    /// The router has panicked. All members are disconnected, and a new router begins.
    RouterPanicked(RouterPanicked),
}

/// A router has panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the router panicked: {message}")]
pub struct RouterPanicked {
    /// What the panic said.
    pub message: String,
}

impl RouterPanicked {
    pub(crate) fn new(panic: &(dyn Any + Send)) -> Self {
        let message = panic_text(panic).unwrap_or("no text").to_owned();
        Self { message }
    }
}
