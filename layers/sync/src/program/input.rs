//! What goes into a program.
//!
//! In: nothing. Out: a value for each thing that can happen to a program; one that does not fit its state changes
//! nothing.

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, PeerId, Version};

use super::document::{DocEvent, Held};

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// A peer is established, for the first time or again.
    PeerAvailable(Identity),
    /// The last channel of a peer is gone. The peer may come back.
    PeerUnavailable(PeerId),
    /// A peer is gone for good.
    PeerDeparted(PeerId),
    /// A message of a peer. `establish` and `depart` are no inputs of a program and change nothing.
    Received {
        /// Which peer.
        from: PeerId,
        /// What it says.
        msg: ChannelMsg,
    },
    /// A document has a replica here: it is opened, replicated, resumed, or no longer deferred.
    Ensure {
        /// How it is presented.
        entry: DocEntry,
        /// What the replica is for.
        held: Held,
        /// Where the replica is.
        version: Version,
        /// What is reported of it, if anything.
        event: Option<DocEvent>,
    },
    /// A document is known here, and has no replica.
    Defer {
        /// How it is presented.
        entry: DocEntry,
        /// What is reported of it, if anything.
        event: Option<DocEvent>,
    },
    /// The replica was changed here.
    LocalChange {
        /// Which document.
        doc: DocId,
        /// Where the replica is now.
        version: Version,
    },
    /// The replica has taken an offer.
    Imported {
        /// Which document.
        doc: DocId,
        /// Whose offer.
        from: PeerId,
        /// Where the replica is now.
        version: Version,
    },
    /// An offer had nothing new for the replica.
    NothingNew {
        /// Which document.
        doc: DocId,
        /// Whose offer.
        from: PeerId,
        /// The version that it offered.
        version: Version,
    },
    /// The document is no longer here, and the peers are told so.
    Dismiss {
        /// Which document.
        doc: DocId,
        /// What is reported of it, if anything.
        event: Option<DocEvent>,
    },
    /// The document is no longer here, and no peer is told.
    Delete {
        /// Which document.
        doc: DocId,
        /// What is reported of it, if anything.
        event: Option<DocEvent>,
    },
    /// What the peers have said of a document is forgotten.
    Forget(DocId),
    /// A document that a peer presented is not taken.
    DeclareVacant {
        /// Which document.
        doc: DocId,
        /// Which peer is told.
        to: PeerId,
    },
    /// This side ends: all documents leave at once, and no peer is told. Empty: nothing happens.
    AllRemoved(Vec<DocId>),
    /// All that follows from the inputs before is done: what is queued for listeners comes out.
    Quiet,
}
