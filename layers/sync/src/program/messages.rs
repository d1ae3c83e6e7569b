//! What a peer says.
//!
//! In: messages. Out: effects. Touches nothing.

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Interest, Offer, PeerId, Version};

use super::{
    Effect, Gates, PeerState, Program,
    document::{Document, mismatch},
    interest, offer, send,
};

impl Program {
    pub(super) fn received(
        &mut self,
        from: PeerId,
        msg: ChannelMsg,
        gates: &dyn Gates,
        out: &mut Vec<Effect>,
    ) {
        if !self.peers.contains(&from) {
            return;
        }
        match msg {
            ChannelMsg::Present(entries) => {
                for entry in entries {
                    self.presented(&from, entry, gates, out);
                }
            }
            ChannelMsg::Interest(interest) => self.asked(from, interest, out),
            ChannelMsg::Offer(offer) => self.offered(from, offer, gates, out),
            ChannelMsg::Dismiss(doc) => self.dismissed(from, doc, out),
            ChannelMsg::Vacant(doc) => {
                if self.documents.contains(&doc) {
                    self.set_state(&from, &doc, PeerState::Vacant);
                }
            }
            ChannelMsg::Establish(_) | ChannelMsg::Depart => {}
        }
    }

    fn presented(&self, from: &PeerId, entry: DocEntry, gates: &dyn Gates, out: &mut Vec<Effect>) {
        let Some(doc) = self.documents.get(&entry.doc) else {
            let peer = self.peers.get(from);
            if peer.is_some_and(|peer| gates.can_share(&entry.doc, &peer.identity)) {
                let peer = from.clone();
                out.push(Effect::Unknown { peer, entry });
            }
            return;
        };
        if let Some(what) = mismatch(&doc.entry, &entry) {
            out.push(Effect::Mismatch {
                what,
                peer: from.clone(),
                local: doc.entry.clone(),
                remote: entry,
            });
        } else if doc.held.is_some() {
            let msg = interest(&entry.doc, doc, doc.is_mutual());
            send(vec![from.clone()], msg, out);
        }
    }

    /// A peer wants a document, or what is newer than its version.
    fn asked(&mut self, from: PeerId, asked: Interest, out: &mut Vec<Effect>) {
        let Some(doc) = self.replica(&asked.doc) else {
            return;
        };
        let wants_ours = asked.reciprocate == Some(true);
        let version = asked.version.as_ref().map(independent);
        let since = version.clone().filter(|_| !doc.is_transient());
        offer(vec![from.clone()], &asked.doc, since, Some(false), out);
        if wants_ours && doc.is_mutual() {
            let msg = interest(&asked.doc, doc, false);
            send(vec![from.clone()], msg, out);
        }
        let state = match wants_ours {
            true => PeerState::Pending,
            false => PeerState::Synced(version.unwrap_or_default()),
        };
        self.set_state(&from, &asked.doc, state);
    }

    fn offered(&self, from: PeerId, offer: Offer, gates: &dyn Gates, out: &mut Vec<Effect>) {
        let Some((doc, peer)) = self.replica(&offer.doc).zip(self.peers.get(&from)) else {
            return;
        };
        let answer = (offer.reciprocate == Some(true)).then(|| interest(&offer.doc, doc, false));
        out.push(match gates.can_accept(&offer.doc, &peer.identity) {
            true => Effect::Import {
                from: from.clone(),
                offer,
            },
            false => Effect::NotAccepted {
                from: from.clone(),
                doc: offer.doc,
            },
        });
        if let Some(answer) = answer {
            send(vec![from], answer, out);
        }
    }

    fn dismissed(&mut self, from: PeerId, doc: DocId, out: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.states.remove(&doc);
            self.queued.states.insert(doc.clone(), ());
        }
        out.push(Effect::Dismissed { peer: from, doc });
    }

    /// A document with a replica.
    fn replica(&self, doc: &DocId) -> Option<&Document> {
        self.documents.get(doc).filter(|doc| doc.held.is_some())
    }
}

/// A copy that does not keep the buffer that it was read from.
fn independent(version: &Version) -> Version {
    Version::new(version.as_str().to_owned()).unwrap_or_default()
}
