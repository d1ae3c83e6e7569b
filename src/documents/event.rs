//! What an exchange reports.
//!
//! In: what the engine has to say. Out: events to subscribers, and counts. Touches nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use kyneta_uds_core::{DocId, PeerId};
use kyneta_uds_sync::{Diagnostic, DocEvent, PeerChange};
use tokio::sync::broadcast::{self, error::RecvError};

/// How many events are kept for a slow reader.
const CAPACITY: usize = 4096;

/// What an exchange reports beside the documents.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ExchangeEvent {
    /// A peer came or went. At a path that is relayed, the one peer is the hub, under the listener's id.
    Peer {
        /// Which.
        peer: PeerId,
        /// How.
        change: PeerChange,
    },
    /// A document is here, or not any more.
    Document {
        /// Which.
        doc: DocId,
        /// What became of it.
        event: DocEvent,
    },
    /// All that a peer had of a document is here. Once in a connection of the peer.
    Synced {
        /// Which document.
        doc: DocId,
        /// With which peer.
        peer: PeerId,
    },
    /// A peer has changed a document.
    Changed {
        /// Which document.
        doc: DocId,
        /// Which peer.
        peer: PeerId,
    },
    /// A message, or a part of it, had no effect, or something was healed.
    Diagnostic(Diagnostic),
    /// Changes of a peer that do harm were left out: they reach for `__proto__`, or far behind the end of a list.
    ChangesRefused {
        /// In which document.
        doc: DocId,
        /// Which peer.
        peer: PeerId,
        /// How many.
        count: usize,
    },
    /// More bytes wait for a peer than there may be. They are dropped, and the peer is met anew: both sides ask each
    /// other for what they lack.
    TooSlow {
        /// Which peer.
        peer: PeerId,
        /// How many bytes waited.
        bytes: usize,
        /// How many may wait.
        limit: usize,
    },
    /// A document is in the store up to this version: a crash takes nothing of that away. Without a store there is none.
    Stored {
        /// Which document.
        doc: DocId,
        /// Its version, as peers of release 2.x write it.
        version: String,
    },
    /// What a document holds now, or that it was destroyed, could not be stored. Once, until it is. A store that fails is tried again
    /// after a second; a document that has no room, or is over its bound, with its next change.
    NotStored {
        /// Which document.
        doc: DocId,
        /// Why, as a sentence.
        why: String,
    },
    /// A document of the store was not opened here: what is stored of it cannot be read. It stays in the store.
    Unreadable {
        /// Which document; `None` when it is the store itself: then no document can be opened.
        doc: Option<DocId>,
        /// Why, as a sentence.
        why: String,
    },
    /// This reader was too slow and has missed this many events.
    MissedEvents(u64),
}

/// The [`ExchangeEvent`]s since it was made. A reader that falls behind by more than 4,096 events gets
/// [`ExchangeEvent::MissedEvents`]; it delays nothing.
#[derive(Debug)]
pub struct ExchangeEvents(broadcast::Receiver<ExchangeEvent>);

impl ExchangeEvents {
    /// The next event; `None` after the last one.
    ///
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<ExchangeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(ExchangeEvent::MissedEvents(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// How often something went another way than usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeCounts {
    /// [`ExchangeEvent::Diagnostic`]s.
    pub diagnostics: u64,
    /// Changes that were left out ([`ExchangeEvent::ChangesRefused`]).
    pub changes_refused: u64,
    /// [`ExchangeEvent::TooSlow`]s.
    pub too_slow: u64,
    /// [`ExchangeEvent::NotStored`]s.
    pub not_stored: u64,
    /// [`ExchangeEvent::Unreadable`]s.
    pub unreadable: u64,
}

/// Sends events, and counts.
#[derive(Debug)]
pub(super) struct Reports {
    sender: broadcast::Sender<ExchangeEvent>,
    diagnostics: AtomicU64,
    changes_refused: AtomicU64,
    too_slow: AtomicU64,
    not_stored: AtomicU64,
    unreadable: AtomicU64,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
            diagnostics: AtomicU64::new(0),
            changes_refused: AtomicU64::new(0),
            too_slow: AtomicU64::new(0),
            not_stored: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }
}

impl Reports {
    pub(super) fn subscribe(&self) -> ExchangeEvents {
        ExchangeEvents(self.sender.subscribe())
    }

    pub(super) fn send(&self, event: ExchangeEvent) {
        match &event {
            ExchangeEvent::Diagnostic(diagnostic) => {
                self.diagnostics.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%diagnostic, "about documents");
            }
            ExchangeEvent::ChangesRefused { count, .. } => {
                let count = *count as u64;
                self.changes_refused.fetch_add(count, Ordering::Relaxed);
            }
            ExchangeEvent::TooSlow { .. } => {
                self.too_slow.fetch_add(1, Ordering::Relaxed);
            }
            ExchangeEvent::NotStored { doc, why } => {
                self.not_stored.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(?doc, why, "a document was not stored");
            }
            ExchangeEvent::Unreadable { doc, why } => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(?doc, why, "a store, or a document of it, cannot be read");
            }
            _ => {}
        }
        // Without a subscriber it goes nowhere.
        let _ = self.sender.send(event);
    }

    pub(super) fn counts(&self) -> ExchangeCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ExchangeCounts {
            diagnostics: of(&self.diagnostics),
            changes_refused: of(&self.changes_refused),
            too_slow: of(&self.too_slow),
            not_stored: of(&self.not_stored),
            unreadable: of(&self.unreadable),
        }
    }
}
