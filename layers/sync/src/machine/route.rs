//! The program's effects, as effects on channels.
//!
//! In: an input of the program. Out: effects; those to peers without a channel are left out. Touches nothing.

use kyneta_uds_core::{ChannelMsg, DocId, PeerId, SyncMode, WireVersion};

use super::SyncMachine;
use crate::{
    diagnostic::Diagnostic,
    effect::{ChannelKey, Effect},
    program::{self, Input},
    versions::Versions,
};

impl<V: Versions> SyncMachine<V> {
    /// Takes an input, and all that follows from it here.
    pub(super) fn apply(&mut self, input: Input, out: &mut Vec<Effect>) {
        let mut effects = std::mem::take(&mut self.effects);
        let mut next = Some(input);
        while let Some(input) = next {
            self.program.apply(input, &self.policies, &mut effects);
            for effect in effects.drain(..) {
                self.route(effect, out);
            }
            next = self.inputs.pop_front();
        }
        self.effects = effects;
    }

    fn route(&mut self, effect: program::Effect, out: &mut Vec<Effect>) {
        match effect {
            program::Effect::Send { to, msg } => self.send(&to, msg, out),
            program::Effect::Offer {
                to,
                doc,
                since,
                reciprocate,
            } => {
                let is_push = reciprocate.is_none();
                let peers = to
                    .iter()
                    .filter(|peer| !is_push || self.can_push(peer, &doc));
                let to: Vec<ChannelKey> = peers.flat_map(|peer| self.channels_of(peer)).collect();
                if !to.is_empty() {
                    out.push(Effect::Offer {
                        to,
                        doc,
                        since,
                        reciprocate,
                    });
                }
            }
            program::Effect::Import { from, offer } => self.take(from, offer, out),
            program::Effect::NotAccepted { from, doc } => {
                let (peer, id) = (from.clone(), doc.clone());
                self.report(Diagnostic::OfferRefused { peer, doc: id }, out);
                self.insist_once(&from, doc, out);
            }
            program::Effect::Unknown { peer, entry } => self.unknown(peer, entry, out),
            program::Effect::Dismissed { peer, doc } => out.push(Effect::Dismissed { peer, doc }),
            program::Effect::Mismatch {
                what,
                peer,
                local,
                remote,
            } => {
                let report = Diagnostic::Mismatch {
                    what,
                    peer,
                    local: Box::new(local),
                    remote: Box::new(remote),
                    texts: Box::default(),
                };
                self.report(report, out);
            }
            program::Effect::PeerStatesChanged(docs) => out.push(Effect::PeerStatesChanged(docs)),
            program::Effect::Advanced(docs) => out.push(Effect::Advanced(docs)),
            program::Effect::DocEvents(events) => {
                let events = events.into_iter();
                out.extend(events.map(|(event, doc)| Effect::Document { doc, event }));
            }
        }
    }

    pub(super) fn send(&self, to: &[PeerId], msg: ChannelMsg, out: &mut Vec<Effect>) {
        // Wire version 2 has no such message.
        let is_new = matches!(msg, ChannelMsg::Vacant(_));
        let contacts = to.iter().filter_map(|peer| self.contacts.get(peer));
        let channels = contacts.flat_map(|contact| &contact.channels);
        let mut channels = channels
            .filter(|(_, wire)| !is_new || *wire != WireVersion::V2)
            .peekable();
        while let Some(&(to, _)) = channels.next() {
            if channels.peek().is_none() {
                out.push(Effect::Send { to, msg });
                return;
            }
            let msg = msg.clone();
            out.push(Effect::Send { to, msg });
        }
    }

    fn channels_of(&self, peer: &PeerId) -> impl Iterator<Item = ChannelKey> + use<'_, V> {
        let channels = self.contacts.get(peer).map(|contact| &contact.channels);
        channels.into_iter().flatten().map(|(channel, _)| *channel)
    }

    /// A change of a serialized document can be taken on the version alone that it starts from. What a peer has
    /// said in an earlier connection says nothing of its version now: it gets the change with the answer to its
    /// next interest.
    fn can_push(&self, peer: &PeerId, doc: &DocId) -> bool {
        let entry = self.program.document(doc).map(|(entry, ..)| entry);
        let is_serialized = entry.is_some_and(|entry| entry.mode == SyncMode::Authoritative);
        let contact = self.contacts.get(peer);
        !is_serialized || contact.is_some_and(|contact| contact.has_asked(doc))
    }
}
