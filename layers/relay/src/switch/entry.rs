//! Entries of `present`: which of them are one document, and how one is shown to a member.
//!
//! In: entries of members, the classes of equal schemas. Out: whether two are one document, and the entry that a
//! member is shown. Pure.

use kyneta_uds_core::{DocEntry, SchemaHash, SyncMode, WireVersion};

use crate::{config::SwitchConfig, effect::Diagnostic};

/// How the members of a document merge, which decides how it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Concurrent writers, deltas: any offer may be read in any order, and twice.
    Concurrent,
    /// Snapshots alone: an answer holds all there is.
    Snapshot,
    /// One writer at a time: a delta may be read on the version alone that it starts from.
    Serialized,
}

impl Class {
    pub(super) const fn of(entry: &DocEntry) -> Self {
        match entry.mode {
            SyncMode::Collaborative => Self::Concurrent,
            SyncMode::Ephemeral => Self::Snapshot,
            SyncMode::Authoritative => Self::Serialized,
        }
    }
}

impl SwitchConfig {
    /// Why two entries of one document id are not the same document; `None` when they are.
    pub(super) fn mismatch(&self, a: &DocEntry, b: &DocEntry) -> Option<Diagnostic> {
        if a.replica.name != b.replica.name || a.replica.major != b.replica.major {
            return Some(Diagnostic::MismatchReplicaType);
        }
        if a.mode != b.mode {
            return Some(Diagnostic::MismatchSyncMode);
        }
        let share_a_schema = schemas(a).any(|a| schemas(b).any(|b| self.is_one_schema(a, b)));
        (!share_a_schema).then_some(Diagnostic::MismatchSchemaHash)
    }

    fn is_one_schema(&self, a: &SchemaHash, b: &SchemaHash) -> bool {
        a == b
            || self
                .class(a)
                .is_some_and(|class| self.class(b) == Some(class))
    }

    /// The entry as a member of a wire version is shown it.
    pub(super) fn shown(&self, entry: &DocEntry, wire: WireVersion) -> DocEntry {
        let mut shown = entry.clone();
        if let Some(class) = self.class(&entry.schema) {
            let hashes = self.hashes(class, wire);
            if let Some(first) = hashes.first() {
                shown.schema = first.clone();
            }
            shown.supported = Some(hashes);
        }
        shown
    }
}

/// The schemas that a holder can read.
fn schemas(entry: &DocEntry) -> impl Iterator<Item = &SchemaHash> {
    let supported = entry.supported.as_deref().unwrap_or_default();
    let own = supported.is_empty().then_some(&entry.schema);
    supported.iter().chain(own)
}
