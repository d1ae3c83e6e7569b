//! A peer as a program knows it.

use kyneta_uds_core::{DocId, Identity, Version};

use crate::ordered::Ordered;

/// What a peer has said of a document. Nothing said: there is no state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// It wants the document, and has been sent what it lacked; it may have what is not here.
    Pending,
    /// It had this version when it last spoke of the document.
    Synced(Version),
    /// It does not hold the document.
    Vacant,
}

#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    pub(super) states: Ordered<DocId, PeerState>,
}

impl Peer {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            states: Ordered::default(),
        }
    }

    /// True when changes of the document are pushed to it.
    pub(super) fn wants(&self, doc: &DocId) -> bool {
        matches!(
            self.states.get(doc),
            Some(PeerState::Pending | PeerState::Synced(_))
        )
    }
}
