//! A document as a store sees it: what is not stored yet, and how far it is stored.
//!
//! In: what the journal has done. Out: offers for the store; who waits is told. No I/O here.

use std::sync::Arc;

use kyneta_uds_core::{Offer, SyncMode, Version, WireVersion};
use kyneta_uds_schema::DocVersion;
use kyneta_uds_store::Head;
use tokio::sync::watch;

use super::{DocCell, WIRES};

/// What the store knows of a document, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Storing {
    /// Changes so far, edits and imports.
    pub(super) changes: u64,
    /// How many there were with the last edit.
    pub(super) edited: u64,
    /// Where the document in the store is.
    pub(super) at: Option<DocVersion>,
    /// It waits for the journal.
    pub(super) waits: bool,
    /// It was destroyed, or another one has its place.
    pub(super) is_removed: bool,
}

impl Storing {
    /// There is one change more. True when the journal is to be told of it.
    pub(super) const fn changed(&mut self) -> bool {
        self.changes += 1;
        !std::mem::replace(&mut self.waits, true)
    }
}

/// What is being stored.
#[derive(Debug)]
pub(in super::super) struct Unstored {
    /// How many changes are stored then.
    pub(in super::super) changes: u64,
    /// Where the document is then.
    pub(in super::super) version: Version,
    at: DocVersion,
}

/// How far a document is stored.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct StoredUpTo {
    /// So many changes are.
    pub(in super::super) changes: u64,
    /// So many could not be, and why.
    pub(in super::super) failed: u64,
    pub(in super::super) why: Option<Arc<str>>,
    /// It was destroyed, or another document has its place.
    pub(in super::super) is_removed: bool,
}

impl StoredUpTo {
    /// So many changes are stored, or could not be, or need not be.
    pub(in super::super) const fn is_settled(&self, changes: u64) -> bool {
        self.changes >= changes || self.failed >= changes || self.is_removed
    }
}

impl DocCell {
    /// Presence and the like ends with its process.
    pub(in super::super) fn is_transient(&self) -> bool {
        self.substrate.mode() == SyncMode::Ephemeral
    }

    /// One writer at a time.
    pub(in super::super) fn is_serialized(&self) -> bool {
        self.substrate.mode() == SyncMode::Authoritative
    }

    /// What is not stored, or all of it. With an error it says for how many changes that failed, and why.
    pub(in super::super) fn take_unstored(
        &self,
        all: bool,
    ) -> Result<Option<(Offer, Unstored)>, (u64, String)> {
        let mut state = self.state();
        state.storing.waits = false;
        if state.storing.is_removed {
            return Ok(None);
        }
        let changes = state.storing.changes;
        let at = state.replica.version(WireVersion::V3);
        if state.storing.at.as_ref() == Some(&at) {
            drop(state);
            self.stored_up_to(changes);
            return Ok(None);
        }
        let since = state.storing.at.as_ref().filter(|_| !all);
        let payload = state.replica.export(since, WireVersion::V3);
        drop(state);
        let Some(payload) = payload else {
            return Err((changes, "its library does not give it".to_owned()));
        };
        let offer = payload.offer(self.id.clone());
        let offer = offer.map_err(|error| (changes, error.to_string()))?;
        let version = offer.version.clone();
        Ok(Some((
            offer,
            Unstored {
                changes,
                version,
                at,
            },
        )))
    }

    /// It is stored now.
    pub(in super::super) fn set_stored(&self, unstored: Unstored) {
        self.state().storing.at = Some(unstored.at);
        self.stored_up_to(unstored.changes);
    }

    fn stored_up_to(&self, changes: u64) {
        self.stored
            .send_modify(|stored| stored.changes = stored.changes.max(changes));
    }

    /// So many changes could not be stored.
    pub(in super::super) fn set_not_stored(&self, changes: u64, why: &str) {
        self.stored.send_modify(|stored| {
            stored.failed = changes;
            stored.why = Some(why.into());
        });
    }

    /// Nothing is stored any more. Where the store has failed before, that is why.
    pub(in super::super) fn storing_ends(&self, why: &str) {
        self.stored.send_modify(|stored| {
            if stored.failed <= stored.changes {
                stored.why = Some(why.into());
            }
            stored.failed = u64::MAX;
        });
    }

    /// It waits for the journal again; false when it does so already.
    pub(in super::super) fn wait_again(&self) -> bool {
        !std::mem::replace(&mut self.state().storing.waits, true)
    }

    /// How many changes there are, and how far they are stored.
    pub(in super::super) fn storing(&self) -> (u64, watch::Receiver<StoredUpTo>) {
        (self.state().storing.changes, self.stored.subscribe())
    }

    /// Up to which change a serialized document has edits that are not stored, if it has any.
    pub(in super::super) fn unstored_edits(&self) -> Option<u64> {
        if !self.is_serialized() {
            return None;
        }
        let edited = self.state().storing.edited;
        (!self.is_settled(edited)).then_some(edited)
    }

    /// So many changes are stored, or could not be.
    pub(in super::super) fn is_settled(&self, changes: u64) -> bool {
        self.stored.borrow().is_settled(changes)
    }

    /// It is not the document of its id any more.
    pub(in super::super) fn set_removed(&self) {
        self.state().storing.is_removed = true;
        self.stored.send_modify(|stored| stored.is_removed = true);
    }

    /// What it is.
    pub(in super::super) fn head(&self) -> Head {
        let mut head = Head::new(self.substrate);
        head.is_opened = self.schema.is_some();
        head.schema = match &self.schema {
            Some(schema) => WIRES.map(|wire| schema.hash(wire)),
            None => self.state().kept_hash.clone(),
        };
        head
    }

    /// What it is, with its number, if all of it is stored.
    pub(in super::super) fn numbered_head(&self) -> Option<Head> {
        let state = self.state();
        let now = state.replica.version(WireVersion::V3);
        let is_stored = state.storing.at.as_ref() == Some(&now);
        drop(state);
        let mut head = self.head();
        head.number = Some(self.number);
        is_stored.then_some(head)
    }
}
