//! What has no effect, or not the expected one, and why.
//!
//! In: what a machine has met. Out: a value with both sides of the difference, its code and its sentence. Pure.

use kyneta_uds_core::{DocEntry, DocId, PeerId, Version};

use crate::program::Mismatch;

/// A report: a message, or a part of it, was refused or not understood, or something was healed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Diagnostic {
    /// A message on a channel on which no peer is established.
    #[error("a {kind} came on a channel without a peer")]
    NotEstablished {
        /// The message's kind.
        kind: &'static str,
    },
    /// A message that is not about documents.
    #[error("{peer} sent {kind}, which is not about documents")]
    NotAboutDocuments {
        /// Which peer.
        peer: PeerId,
        /// The message's kind.
        kind: &'static str,
    },
    /// The policies do not let the peer take part.
    #[error("no policy lets {peer} take part")]
    ConnectRefused {
        /// Which peer.
        peer: PeerId,
    },
    /// A second channel of a peer: two processes may have one id.
    #[error("{peer} has a second channel")]
    DuplicatePeer {
        /// Which peer.
        peer: PeerId,
    },
    /// More peers are away than are remembered: this one counts as departed.
    #[error("{peer} is away longest of more than {limit} peers, and is forgotten")]
    PeerForgotten {
        /// Which peer.
        peer: PeerId,
        /// How many are remembered.
        limit: usize,
    },
    /// A peer presents another document under the same id. Both are in it, with both schema hashes.
    #[error(
        "{peer} presents another document as {}: {}; here {} {:?}{}, there {} {:?}{}",
        .local.doc, .what.code(), .local.schema, .local.mode, shown(*.what, .texts.local.as_deref()),
        .remote.schema, .remote.mode, shown(*.what, .texts.remote.as_deref())
    )]
    Mismatch {
        /// What differs.
        what: Mismatch,
        /// Which peer.
        peer: PeerId,
        /// The document here.
        local: Box<DocEntry>,
        /// The peer's.
        remote: Box<DocEntry>,
        /// What the two hashes are of. The machine knows hashes alone and leaves it empty; what runs it may fill it in.
        texts: Box<SchemaTexts>,
    },
    /// A peer speaks of a document that has no replica here.
    #[error("{peer} sent {kind} of {doc}, which has no replica here")]
    NotHeld {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
        /// The message's kind.
        kind: &'static str,
    },
    /// A peer presents more documents than are opened for it, or than there may be.
    #[error("{doc} of {peer} is one document too many: {limit} are opened {}", .scope.text())]
    TooManyDocuments {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
        /// How many there may be.
        limit: usize,
        /// Which peers together may have so many.
        scope: LimitScope,
    },
    /// A peer presents a document that was destroyed here.
    #[error("{peer} presents {doc}, which was destroyed here")]
    Destroyed {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// No replica type here fits a document that a peer presents.
    #[error("no replica type here fits {doc} of {peer}")]
    NoReplicaType {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// The policies do not let the peer write the document.
    #[error("no policy lets {peer} write {doc}: its offer is dropped")]
    OfferRefused {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// The version of an offer is none of this kind of document.
    #[error("{peer} offers {doc} at {version:?}, which is no version of it: its offer is dropped")]
    NoVersion {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
        /// The version.
        version: Version,
    },
    /// The policies do not let the peer's history replace the one here.
    #[error("no policy lets the unrelated history of {doc} of {peer} replace the one here")]
    ResetRefused {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// Of two unrelated histories the one here stays, and is offered to the peer.
    #[error("the history of {doc} here stays, and {peer} is offered it in place of its own")]
    HistoryKept {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// An offer starts from what is not here.
    #[error("an offer of {doc} by {peer} starts from what is not here{}", if *.asked { ": asked again" } else { "" })]
    Gap {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
        /// The peer was asked for what is missing. After several gaps in a row it is asked less and less often.
        asked: bool,
    },
    /// The replica could not take an offer.
    #[error("an offer of {doc} by {peer} could not be imported: {why}")]
    ImportFailed {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
        /// What the replica says.
        why: String,
    },
}

/// The texts of two schemas that differ, as they are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SchemaTexts {
    /// Of the document here; `None` when it is kept without a schema.
    pub local: Option<String>,
    /// Of the peer's document; `None` when no schema of this hash is known here: peers send the hash alone.
    pub remote: Option<String>,
}

/// The text of a schema, where schemas are what differs.
fn shown(what: Mismatch, text: Option<&str>) -> String {
    match (what, text) {
        (Mismatch::SchemaHash, Some(text)) => format!(" {text}"),
        (Mismatch::SchemaHash, None) => " (a schema that is unknown here)".to_owned(),
        _ => String::new(),
    }
}

/// Which peers a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitScope {
    /// Of one peer.
    Peer,
    /// Of all peers.
    AllPeers,
}

impl LimitScope {
    const fn text(self) -> &'static str {
        match self {
            Self::Peer => "for one peer",
            Self::AllPeers => "for all peers",
        }
    }
}

impl Mismatch {
    /// Its name in events and logs, as in the reference.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReplicaType => "replica-type-mismatch",
            Self::SchemaHash => "schema-hash-mismatch",
            Self::SyncMode => "sync-mode-mismatch",
        }
    }
}

impl Diagnostic {
    /// Which document it is about, if about one.
    pub const fn doc(&self) -> Option<&DocId> {
        match self {
            Self::Mismatch { local, .. } => Some(&local.doc),
            Self::NotHeld { doc, .. }
            | Self::TooManyDocuments { doc, .. }
            | Self::Destroyed { doc, .. }
            | Self::NoReplicaType { doc, .. }
            | Self::OfferRefused { doc, .. }
            | Self::NoVersion { doc, .. }
            | Self::ResetRefused { doc, .. }
            | Self::HistoryKept { doc, .. }
            | Self::Gap { doc, .. }
            | Self::ImportFailed { doc, .. } => Some(doc),
            _ => None,
        }
    }

    /// Which peer it is about, if about one.
    pub const fn peer(&self) -> Option<&PeerId> {
        match self {
            Self::NotEstablished { .. } => None,
            Self::NotAboutDocuments { peer, .. }
            | Self::ConnectRefused { peer }
            | Self::DuplicatePeer { peer }
            | Self::PeerForgotten { peer, .. }
            | Self::Mismatch { peer, .. }
            | Self::NotHeld { peer, .. }
            | Self::TooManyDocuments { peer, .. }
            | Self::Destroyed { peer, .. }
            | Self::NoReplicaType { peer, .. }
            | Self::OfferRefused { peer, .. }
            | Self::NoVersion { peer, .. }
            | Self::ResetRefused { peer, .. }
            | Self::HistoryKept { peer, .. }
            | Self::Gap { peer, .. }
            | Self::ImportFailed { peer, .. } => Some(peer),
        }
    }

    /// Its name in events and logs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotEstablished { .. } => "not-established",
            Self::NotAboutDocuments { .. } => "not-about-documents",
            Self::ConnectRefused { .. } => "connect-refused",
            Self::DuplicatePeer { .. } => "duplicate-peer",
            Self::PeerForgotten { .. } => "peer-forgotten",
            Self::Mismatch { what, .. } => what.code(),
            Self::NotHeld { .. } => "not-held",
            Self::TooManyDocuments { .. } => "too-many-documents",
            Self::Destroyed { .. } => "destroyed",
            Self::NoReplicaType { .. } => "no-replica-type",
            Self::OfferRefused { .. } => "offer-refused",
            Self::NoVersion { .. } => "no-version",
            Self::ResetRefused { .. } => "reset-refused",
            Self::HistoryKept { .. } => "history-kept",
            Self::Gap { .. } => "gap",
            Self::ImportFailed { .. } => "import-failed",
        }
    }
}
