//! A document as a program knows it: its entry, and what is here of it.
//!
//! In: entries of both sides. Out: what is shown of a document here, and why another one under its id is not it.
//! Pure.

use kyneta_uds_core::{DocEntry, SyncMode, Version};

/// What a replica is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// It is read and written here.
    Interpreted,
    /// It is kept and passed on, without its schema.
    Replicated,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocEvent {
    /// It has a replica here, for the first time.
    Created,
    /// It has a replica here; it was deferred before.
    Promoted,
    /// It is known here, and has no replica.
    Deferred,
    /// It is kept here, and is not shared until it is resumed.
    Suspended,
    /// It is shared again.
    Resumed,
    /// It is gone.
    Removed,
}

/// Why two documents of one id are not one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mismatch {
    /// Other software, or another major version of it.
    ReplicaType,
    /// No schema that both sides can read.
    SchemaHash,
    /// Another sync mode.
    SyncMode,
}

/// A document that is here.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) entry: DocEntry,
    /// `None` when deferred: there is no replica.
    pub(super) held: Option<Held>,
    /// Where the replica is; empty when there is none.
    pub(super) version: Version,
}

impl Document {
    /// Its entry as peers are shown it: a list of one supported schema says no more than the schema.
    pub(super) fn shown(&self) -> DocEntry {
        let mut entry = self.entry.clone();
        if entry.supported.as_ref().is_some_and(|all| all.len() < 2) {
            entry.supported = None;
        }
        entry
    }

    pub(super) fn is_transient(&self) -> bool {
        self.entry.mode == SyncMode::Ephemeral
    }

    /// An interest in it asks for one in return: both sides may have what the other lacks.
    pub(super) fn is_mutual(&self) -> bool {
        self.entry.mode == SyncMode::Collaborative
    }
}

/// Why two entries of one id are not one document; `None` when they are. Minor versions of a replica type are
/// equal.
pub fn mismatch(local: &DocEntry, remote: &DocEntry) -> Option<Mismatch> {
    let (a, b) = (&local.replica, &remote.replica);
    if a.name != b.name || a.major != b.major {
        return Some(Mismatch::ReplicaType);
    }
    if !shares_schema(local, remote) {
        return Some(Mismatch::SchemaHash);
    }
    (local.mode != remote.mode).then_some(Mismatch::SyncMode)
}

/// True when there is a schema that both sides can read.
pub(crate) fn shares_schema(local: &DocEntry, remote: &DocEntry) -> bool {
    let theirs = remote.readable();
    local.readable().iter().any(|hash| theirs.contains(hash))
}
