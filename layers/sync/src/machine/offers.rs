//! Offers: which are taken and how, and what an import came to.
//!
//! In: an offer, or the outcome of an import. Out: effects. Touches nothing.

use kyneta_uds_core::{DocId, Interest, Offer, PayloadKind, PeerId, SyncMode, Version};

use super::SyncMachine;
use crate::{
    diagnostic::Diagnostic,
    effect::{Effect, Imported, Take},
    policy::Answer,
    program::Input,
    versions::{Relation, Versions},
};

impl<V: Versions> SyncMachine<V> {
    /// An offer that the policies accept, of a document with a replica.
    pub(super) fn take(&mut self, from: PeerId, offer: Offer, out: &mut Vec<Effect>) {
        let (doc, peer) = (offer.doc.clone(), from.clone());
        match self.relation(&doc, &offer.version) {
            None => {
                let version = offer.version;
                self.report(Diagnostic::NoVersion { peer, doc, version }, out);
            }
            Some(Relation::Equal | Relation::Ahead) => {
                self.is_synced(&from, &doc, out);
                let version = offer.version;
                self.inputs
                    .push_back(Input::NothingNew { doc, from, version });
            }
            Some(Relation::Behind | Relation::Concurrent) => self.import(from, offer, out),
            Some(Relation::Unrelated { ours_stays }) => {
                let answer = match self.contacts.get(&from) {
                    Some(contact) => self.policies.can_reset(&doc, &contact.identity),
                    None => return,
                };
                match answer {
                    Answer::No => self.report(Diagnostic::ResetRefused { peer, doc }, out),
                    Answer::NoOpinion if ours_stays => self.keep_history(from, doc, out),
                    _ if offer.kind == PayloadKind::Since => self.ask_again(&from, &doc, out),
                    _ => self.import(from, offer, out),
                }
            }
        }
    }

    fn import(&self, from: PeerId, offer: Offer, out: &mut Vec<Effect>) {
        let entry = self.program.document(&offer.doc).map(|(entry, ..)| entry);
        let is_serialized = entry.is_some_and(|entry| entry.mode == SyncMode::Authoritative);
        // Merged, it would count as one more change, and two replicas of one version would differ.
        let how = match offer.kind {
            PayloadKind::Entirety if is_serialized => Take::Replace,
            _ => Take::Merge,
        };
        out.push(Effect::Import { from, offer, how });
    }

    /// The policies refuse an offer. If it is of an unrelated history, the peer would stay at that for good, and a hub
    /// would take this side to be there, too: so the one here is offered to it, once in a connection.
    pub(super) fn insist_once(&mut self, peer: &PeerId, doc: DocId, out: &mut Vec<Effect>) {
        let offered = self.offered.take();
        let relation = offered.and_then(|version| self.relation(&doc, &version));
        let Some(Relation::Unrelated { .. }) = relation else {
            return;
        };
        if let Some(contact) = self.contacts.get_mut(peer)
            && !std::mem::replace(&mut contact.link(&doc).has_insisted, true)
        {
            self.insist(peer, doc, out);
        }
    }

    /// Of two unrelated histories the one here stays. The peer takes it, by the same rule; the reference takes any.
    fn keep_history(&mut self, peer: PeerId, doc: DocId, out: &mut Vec<Effect>) {
        let (of, id) = (peer.clone(), doc.clone());
        self.report(Diagnostic::HistoryKept { peer: of, doc: id }, out);
        self.insist(&peer, doc, out);
    }

    fn insist(&self, peer: &PeerId, doc: DocId, out: &mut Vec<Effect>) {
        let contact = self.contacts.get(peer);
        let channels = contact.filter(|contact| contact.has_asked(&doc));
        let to: Vec<_> = channels
            .iter()
            .flat_map(|contact| contact.channels.iter().map(|(channel, _)| *channel))
            .collect();
        if !to.is_empty() {
            out.push(Effect::Offer {
                to,
                doc,
                since: None,
                reciprocate: None,
            });
        }
    }

    /// What the import of an offer came to.
    pub fn imported(
        &mut self,
        doc: &DocId,
        from: &PeerId,
        outcome: Imported,
        out: &mut Vec<Effect>,
    ) {
        let (doc, from) = (doc.clone(), from.clone());
        match outcome {
            Imported::All(version) => {
                let began_apart = matches!(
                    self.relation(&doc, &version),
                    Some(Relation::Unrelated { .. })
                );
                if let Some(contact) = self.contacts.get_mut(&from)
                    && let Some(link) = contact.links.get_mut(&doc)
                {
                    link.gaps = 0;
                }
                self.advance(doc.clone(), from.clone(), version, out);
                self.is_synced(&from, &doc, out);
                if began_apart {
                    // The reference may have taken the history that was here, in exchange.
                    self.ask(&from, &doc, out);
                }
            }
            Imported::Gap(version) => {
                let at = self.program.document(&doc).map(|(.., at)| at);
                if at.is_some_and(|at| *at != version) {
                    self.advance(doc.clone(), from.clone(), version, out);
                }
                self.ask_again(&from, &doc, out);
            }
            Imported::Failed(why) => {
                let peer = from;
                self.report(Diagnostic::ImportFailed { peer, doc, why }, out);
            }
        }
    }

    fn advance(&mut self, doc: DocId, from: PeerId, version: Version, out: &mut Vec<Effect>) {
        if self.program.document(&doc).is_some() {
            self.apply(Input::Imported { doc, from, version }, out);
        } else {
            // It was suspended in the meantime.
            self.changed(&doc, version, out);
        }
    }

    /// Something is missing here that the peer has: it is asked, at the first gap, the second, the fourth, the
    /// eighth in a row. So one that always leaves gaps is not asked each time.
    fn ask_again(&mut self, peer: &PeerId, doc: &DocId, out: &mut Vec<Effect>) {
        let Some(contact) = self.contacts.get_mut(peer) else {
            return;
        };
        let link = contact.link(doc);
        link.gaps = link.gaps.saturating_add(1);
        let asked = link.gaps.is_power_of_two();
        let report = Diagnostic::Gap {
            peer: peer.clone(),
            doc: doc.clone(),
            asked,
        };
        self.report(report, out);
        if asked {
            self.ask(peer, doc, out);
        }
    }

    fn ask(&mut self, peer: &PeerId, doc: &DocId, out: &mut Vec<Effect>) {
        if let Some((_, Some(_), version)) = self.program.document(doc) {
            let interest = Interest::new(doc.clone()).since(version.clone());
            let msg = interest.reciprocate(false).into();
            self.send(std::slice::from_ref(peer), msg, out);
        }
    }
}
