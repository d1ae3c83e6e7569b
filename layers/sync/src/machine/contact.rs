//! A peer as the machine knows it: its channels, and what it has said since it has one.

use std::collections::HashMap;

use kyneta_uds_core::{DocId, Identity, WireVersion};

use crate::effect::ChannelKey;

#[derive(Debug)]
pub(super) struct Contact {
    pub(super) identity: Identity,
    /// Empty while it is away.
    pub(super) channels: Vec<(ChannelKey, WireVersion)>,
    /// What it has said in this connection.
    pub(super) links: HashMap<DocId, Link>,
    /// How many documents are here because it has presented them.
    pub(super) opened: usize,
}

/// A peer and a document, in one connection of the peer.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// It has asked for the document, so it has been sent what it lacked.
    pub(super) has_asked: bool,
    /// All that it had is here.
    pub(super) is_synced: bool,
    /// Its unrelated history was refused, and it was offered the one here.
    pub(super) has_insisted: bool,
    /// How many of its offers in a row started from what is not here.
    pub(super) gaps: u32,
}

impl Contact {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            channels: Vec::new(),
            links: HashMap::new(),
            opened: 0,
        }
    }

    pub(super) fn link(&mut self, doc: &DocId) -> &mut Link {
        self.links.entry(doc.clone()).or_default()
    }

    pub(super) fn has_asked(&self, doc: &DocId) -> bool {
        self.links.get(doc).is_some_and(|link| link.has_asked)
    }
}
