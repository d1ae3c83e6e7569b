//! What comes out of a machine: messages to channels, work for replicas, and what it has to report.
//!
//! In: what a machine has decided. Out: values, in the order in which they have to be carried out. Touches nothing.

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Offer, PeerId, SchemaHash, Version};

use crate::{diagnostic::Diagnostic, program::DocEvent};

/// Which channel to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub u64);

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message.
    Send {
        /// On which channel.
        to: ChannelKey,
        /// What.
        msg: ChannelMsg,
    },
    /// Make an offer of the replica as it is now, and send it.
    Offer {
        /// On which channels, in order; never empty.
        to: Vec<ChannelKey>,
        /// Which document.
        doc: DocId,
        /// What is newer than this; all of it when absent or empty, or when the replica cannot tell.
        since: Option<Version>,
        /// What goes into the offer: `Some(false)` for an answer, absent for a push. The switch of a hub tells
        /// them apart by it.
        reciprocate: Option<bool>,
    },
    /// Hand an offer to the replica, and say what it came to: [`SyncMachine::imported`](crate::SyncMachine::imported).
    Import {
        /// Whose it is.
        from: PeerId,
        /// What it holds.
        offer: Offer,
        /// How.
        how: Take,
    },
    /// Make a replica with a schema, and say so: [`SyncMachine::open`](crate::SyncMachine::open) or
    /// [`SyncMachine::refuse`](crate::SyncMachine::refuse).
    Open {
        /// The document as the peer presents it, or as it was deferred.
        entry: DocEntry,
        /// The schema that reads it.
        schema: SchemaHash,
    },
    /// Make a replica without a schema, and say so, as for [`Effect::Open`].
    Replicate {
        /// The document as the peer presents it.
        entry: DocEntry,
    },
    /// A peer came or went.
    Peer {
        /// Which.
        peer: PeerId,
        /// How.
        change: PeerChange,
    },
    /// All that the peer had of the document is here: its data has come, or it had nothing newer. Once in a
    /// connection of the peer.
    Synced {
        /// Which document.
        doc: DocId,
        /// With which peer.
        peer: PeerId,
    },
    /// The document is in sync with a peer for the first time since it was opened.
    Ready(DocId),
    /// A peer does not want a document any more.
    Dismissed {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// What peers have said of these documents has changed.
    PeerStatesChanged(Vec<DocId>),
    /// The replicas of these documents have changed: for a store.
    Advanced(Vec<DocId>),
    /// What became of a document.
    Document {
        /// Which.
        doc: DocId,
        /// What.
        event: DocEvent,
    },
    /// Report this.
    Report(Diagnostic),
}

/// How a replica takes an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Take {
    /// Merge it.
    Merge,
    /// The whole of a serialized document: its content, its history and its version take the place of what is
    /// here.
    Replace,
}

/// How a peer came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerChange {
    /// It is here for the first time.
    Established,
    /// It is here again.
    Reconnected,
    /// Its last channel is gone. It may come back.
    Disconnected,
    /// It is gone for good.
    Departed,
}

/// What the import of an offer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The replica has all of it, and is at this version.
    All(Version),
    /// The offer starts from what is missing here, so that it waits, or was not taken. The replica is at this
    /// version. The peer is asked for what is missing.
    Gap(Version),
    /// It could not be read. The replica is as it was.
    Failed(String),
}
