//! What a replica holds of a document, and how it merges: as the three classes of the reference do.
//!
//! In: edits, offers. Out: versions and offers. Each edit is a number, so that a lost one can be named. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kyneta_uds_core::{
    ByteString, DocEntry, DocId, Interest, Offer, PayloadKind, ReplicaType, SchemaHash, SyncMode,
    Version,
};

use crate::edits::{Edit, edits, known, written};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A set of edits that grows: offers in any order, twice, early.
    Concurrent(BTreeSet<Edit>),
    /// A log that a delta is replayed on, whatever it holds.
    Serialized(Vec<Edit>),
    /// The last write, and when it was.
    Snapshot { value: Edit, at: u32 },
}

/// A variant of a document: its schema differs from that of the others, of class `x` the sync mode, too.
pub(crate) fn entry(name: &str, variant: usize) -> DocEntry {
    let (replica, mode) = match (name.as_bytes()[0], variant) {
        (b'c', _) | (b'x', 0) => ("loro", SyncMode::Collaborative),
        (b's', _) | (b'x', 1) => ("plain", SyncMode::Authoritative),
        _ => ("plain", SyncMode::Ephemeral),
    };
    let replica = ReplicaType::new(ByteString::from_static(replica), 1.0, 0.0).unwrap();
    let schema = SchemaHash::new(ByteString::from(format!("02a{variant}"))).unwrap();
    let mut entry = DocEntry::new(DocId::new(name).unwrap(), replica, schema);
    entry.mode = mode;
    entry
}

fn text(version: String) -> Version {
    Version::new(ByteString::from(version)).unwrap()
}

impl Content {
    pub(crate) fn empty(mode: SyncMode) -> Self {
        match mode {
            SyncMode::Collaborative => Self::Concurrent(BTreeSet::new()),
            SyncMode::Authoritative => Self::Serialized(Vec::new()),
            SyncMode::Ephemeral => Self::Snapshot {
                value: (0, 0),
                at: 0,
            },
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Concurrent(edits) => text(written(known(edits).into_iter())),
            Self::Serialized(log) => text(log.len().to_string()),
            Self::Snapshot { at, .. } => text(at.to_string()),
        }
    }

    /// The edits that it shows.
    pub(crate) fn edits(&self) -> Vec<Edit> {
        match self {
            Self::Concurrent(edits) => edits.iter().copied().collect(),
            Self::Serialized(log) => log.clone(),
            Self::Snapshot { at: 0, .. } => Vec::new(),
            Self::Snapshot { value, .. } => vec![*value],
        }
    }

    /// Whether nothing of another one is missing.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Concurrent(edits), Self::Concurrent(other)) => edits.is_superset(other),
            (Self::Snapshot { at, .. }, Self::Snapshot { at: other, .. }) => at >= other,
            _ => self == other,
        }
    }

    pub(crate) fn edit(&mut self, edit: Edit, now: u32) {
        match self {
            Self::Concurrent(edits) => {
                edits.insert(edit);
            }
            Self::Serialized(log) => log.push(edit),
            Self::Snapshot { value, at } => (*value, *at) = (edit, now),
        }
    }

    /// What came since a version. `None` where a serialized one has nothing to say.
    pub(crate) fn since(&self, doc: &DocId, version: Option<&Version>) -> Option<Offer> {
        let version = version.map_or("", |version| version.as_str());
        let (kind, data) = match self {
            Self::Concurrent(edits_here) => {
                let theirs: BTreeMap<_, _> = edits(version).collect();
                let missing = edits_here.iter().copied().filter(|(author, number)| {
                    theirs.get(author).is_none_or(|known| known < number)
                });
                (PayloadKind::Since, written(missing))
            }
            Self::Serialized(log) => {
                let theirs: usize = version.parse().unwrap_or(0);
                let missing = log.get(theirs..).filter(|missing| !missing.is_empty())?;
                (PayloadKind::Since, written(missing.iter().copied()))
            }
            Self::Snapshot { value, .. } => (PayloadKind::Entirety, written([*value].into_iter())),
        };
        let mut offer = Offer::json(doc.clone(), self.version(), data);
        offer.kind = kind;
        Some(offer)
    }

    pub(crate) fn merge(&mut self, offer: &Offer) {
        let data = String::from_utf8(offer.data.as_slice().to_vec()).unwrap();
        let theirs = edits(&data);
        match self {
            Self::Concurrent(here) => here.extend(theirs),
            // Blindly, as the reference does.
            Self::Serialized(log) => log.extend(theirs),
            Self::Snapshot { value, at } => {
                let written: u32 = offer.version.as_str().parse().unwrap();
                if written > *at {
                    *at = written;
                    *value = theirs.last().unwrap();
                }
            }
        }
    }

    /// An interest as a holder of this class sends it.
    pub(crate) fn interest(&self, doc: &DocId, in_turn: bool) -> Interest {
        let in_turn = in_turn && matches!(self, Self::Concurrent(_));
        Interest::new(doc.clone())
            .since(self.version())
            .reciprocate(in_turn)
    }
}
