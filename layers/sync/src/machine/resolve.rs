//! Documents that peers present and that are not here.
//!
//! In: a presented entry. Out: it is opened, replicated, deferred, or refused. Touches nothing.

use kyneta_uds_core::{DocEntry, PeerId};

use super::{
    SyncMachine,
    documents::{Local, Place},
};
use crate::{
    diagnostic::{Diagnostic, LimitScope},
    effect::Effect,
    policy::Resolve,
    program::{DocEvent, Input},
    registry::Schema,
    versions::Versions,
};

impl<V: Versions> SyncMachine<V> {
    /// Adds a replica type: its documents can be kept and passed on.
    pub fn register_replica(
        &mut self,
        replica: kyneta_uds_core::ReplicaType,
        mode: kyneta_uds_core::SyncMode,
    ) {
        self.registry.replica(replica, mode);
    }

    /// Adds a schema: its documents are opened when a peer presents one, and those that were deferred now.
    pub fn register_schema(&mut self, schema: Schema, out: &mut Vec<Effect>) {
        self.registry.schema(schema);
        let deferred = self
            .program
            .documents()
            .filter(|(_, held, _)| held.is_none());
        let readable = deferred.filter_map(|(entry, ..)| {
            let schema = self.registry.find(entry)?.hash.clone();
            let entry = entry.clone();
            Some(Effect::Open { entry, schema })
        });
        out.extend(readable);
    }

    pub(super) fn unknown(&mut self, peer: PeerId, entry: DocEntry, out: &mut Vec<Effect>) {
        let doc = entry.doc.clone();
        if self.documents.contains_key(&doc) {
            // Suspended, or being opened.
            return;
        }
        let refusal = if self.destroyed.contains(&doc) {
            Some(Diagnostic::Destroyed {
                peer: peer.clone(),
                doc: doc.clone(),
            })
        } else {
            self.limit_of(&peer)
                .map(|(scope, limit)| Diagnostic::TooManyDocuments {
                    peer: peer.clone(),
                    doc: doc.clone(),
                    limit,
                    scope,
                })
        };
        if let Some(refusal) = refusal {
            self.report(refusal, out);
            self.inputs
                .push_back(Input::DeclareVacant { doc, to: peer });
            return;
        }
        match self.decide(&peer, &entry) {
            Some(Resolve::Interpret(schema)) => {
                self.adopt(&peer, &entry, Place::Opening);
                out.push(Effect::Open { entry, schema });
            }
            Some(Resolve::Replicate) if self.registry.replicates(&entry) => {
                self.adopt(&peer, &entry, Place::Opening);
                out.push(Effect::Replicate { entry });
            }
            Some(Resolve::Defer) => self.defer(&peer, entry),
            None if self.registry.knows(&entry.replica) => self.defer(&peer, entry),
            answer => {
                if answer != Some(Resolve::Reject) {
                    let report = Diagnostic::NoReplicaType {
                        peer: peer.clone(),
                        doc: doc.clone(),
                    };
                    self.report(report, out);
                }
                self.inputs
                    .push_back(Input::DeclareVacant { doc, to: peer });
            }
        }
    }

    /// A registered schema decides, else the policies; `None` when neither does.
    fn decide(&self, peer: &PeerId, entry: &DocEntry) -> Option<Resolve> {
        if let Some(schema) = self.registry.find(entry) {
            return Some(Resolve::Interpret(schema.hash.clone()));
        }
        let contact = self.contacts.get(peer)?;
        self.policies.resolve(entry, &contact.identity)
    }

    fn defer(&mut self, peer: &PeerId, entry: DocEntry) {
        self.adopt(peer, &entry, Place::Shared);
        let event = Some(DocEvent::Deferred);
        self.inputs.push_back(Input::Defer { entry, event });
    }

    /// The document is here from now on, because this peer has presented it.
    fn adopt(&mut self, peer: &PeerId, entry: &DocEntry, place: Place) {
        let local = Local {
            origin: Some(peer.clone()),
            place,
            is_ready: false,
        };
        self.documents.insert(entry.doc.clone(), local);
        self.opened += 1;
        if let Some(contact) = self.contacts.get_mut(peer) {
            contact.opened += 1;
        }
    }

    /// The limit that one more document of this peer would exceed.
    fn limit_of(&self, peer: &PeerId) -> Option<(LimitScope, usize)> {
        let of_peer = self.contacts.get(peer).map_or(0, |contact| contact.opened);
        if of_peer >= self.limits.max_opened_by_peer {
            return Some((LimitScope::Peer, self.limits.max_opened_by_peer));
        }
        let max = self.limits.max_opened;
        (self.opened >= max).then_some((LimitScope::AllPeers, max))
    }
}
