//! What comes out of a program.
//!
//! In: what a program has decided. Out: values, in the order in which they have to be carried out. Touches nothing.

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Offer, PeerId, Version};

use super::document::{DocEvent, Mismatch};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message.
    Send {
        /// To which peers, in order; never empty.
        to: Vec<PeerId>,
        /// What.
        msg: ChannelMsg,
    },
    /// Make an offer and send it.
    Offer {
        /// To which peers, in order; never empty.
        to: Vec<PeerId>,
        /// Which document.
        doc: DocId,
        /// What is newer than this; all of it when absent.
        since: Option<Version>,
        /// What goes into the offer: `Some(false)` for an answer, absent for a push.
        reciprocate: Option<bool>,
    },
    /// Hand an offer to the replica.
    Import {
        /// Whose it is.
        from: PeerId,
        /// What it holds.
        offer: Offer,
    },
    /// The gate does not accept this peer's offers. The reference says nothing here.
    NotAccepted {
        /// Whose it is.
        from: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// A peer presents a document that is not here.
    Unknown {
        /// Which peer.
        peer: PeerId,
        /// The document.
        entry: DocEntry,
    },
    /// A peer does not want a document any more.
    Dismissed {
        /// Which peer.
        peer: PeerId,
        /// Which document.
        doc: DocId,
    },
    /// A peer presents another document under the same id.
    Mismatch {
        /// What differs.
        what: Mismatch,
        /// Which peer.
        peer: PeerId,
        /// The document here.
        local: DocEntry,
        /// The peer's.
        remote: DocEntry,
    },
    /// What peers have said of these documents has changed.
    PeerStatesChanged(Vec<DocId>),
    /// The replicas of these documents have changed.
    Advanced(Vec<DocId>),
    /// What became of documents, in order.
    DocEvents(Vec<(DocEvent, DocId)>),
}
