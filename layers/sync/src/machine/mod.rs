//! What a peer does with documents: the [`Program`] of the reference, what heals it, and its bounds.
//!
//! In: channels that come and go, their messages, what happens to replicas. Out: effects, in order. Touches nothing.

mod contact;
mod documents;
mod offers;
mod resolve;
mod route;

use std::collections::{HashMap, VecDeque};

use kyneta_uds_core::{ChannelMsg, DocId, Identity, Interest, PeerId, Version, WireVersion};

use self::{contact::Contact, documents::Local};
use crate::{
    config::SyncLimits,
    diagnostic::Diagnostic,
    effect::{ChannelKey, Effect, PeerChange},
    ordered::Ordered,
    policy::Policies,
    program::{self, Input, PeerState, Program},
    registry::Registry,
    versions::{Relation, Versions},
};

/// The state of all peers with all documents. See the [crate](crate) for an example.
///
/// Effects are appended. The shell carries them out in order, and before it takes the next message; what follows
/// from one (an import that is done, a document that is opened) goes in at once, and its effects to the end. It drops
/// no message: a peer whose queue is full is disconnected instead, because what it lacks it asks for when it comes
/// back. When there is nothing left to do, it calls [`quiet`](Self::quiet).
#[derive(Debug)]
pub struct SyncMachine<V> {
    versions: V,
    limits: SyncLimits,
    policies: Policies,
    registry: Registry,
    program: Program,
    contacts: HashMap<PeerId, Contact>,
    channels: HashMap<ChannelKey, PeerId>,
    /// The peers without a channel, the one that is away longest first.
    away: Ordered<PeerId, ()>,
    documents: HashMap<DocId, Local>,
    /// How many documents are here because peers have presented them.
    opened: usize,
    destroyed: Ordered<DocId, ()>,
    /// Inputs of the program that follow from its effects.
    inputs: VecDeque<Input>,
    /// The program's, empty between two inputs: its memory is used again.
    effects: Vec<program::Effect>,
    /// The version of the offer that is worked on.
    offered: Option<Version>,
    reports: u64,
}

/// What a [`SyncMachine`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncCounts {
    /// Peers, with or without a channel.
    pub peers: usize,
    /// Peers without a channel.
    pub away: usize,
    /// Documents: with a replica, deferred, suspended, or being opened.
    pub documents: usize,
    /// Documents that are here because peers have presented them.
    pub opened: usize,
    /// Documents that were destroyed and are remembered.
    pub destroyed: usize,
    /// Pairs of a peer and a document of which the peer has spoken.
    pub states: usize,
    /// Reports in all: messages, or parts of them, that were refused or not understood, and what was healed.
    pub reports: u64,
}

impl<V: Versions> SyncMachine<V> {
    /// Without peers and documents, with the default bounds.
    pub fn new(versions: V) -> Self {
        Self {
            versions,
            limits: SyncLimits::default(),
            policies: Policies::default(),
            registry: Registry::default(),
            program: Program::default(),
            contacts: HashMap::new(),
            channels: HashMap::new(),
            away: Ordered::default(),
            documents: HashMap::new(),
            opened: 0,
            destroyed: Ordered::default(),
            inputs: VecDeque::new(),
            effects: Vec::new(),
            offered: None,
            reports: 0,
        }
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: SyncLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The policies. A change counts from the next question on.
    pub const fn policies(&mut self) -> &mut Policies {
        &mut self.policies
    }

    /// A channel is established. A channel with this key that is there already is lost first.
    pub fn established(
        &mut self,
        channel: ChannelKey,
        identity: Identity,
        wire: WireVersion,
        out: &mut Vec<Effect>,
    ) {
        self.lost(channel, out);
        let peer = identity.peer_id.clone();
        if !self.policies.can_connect(&identity).allows() {
            self.report(Diagnostic::ConnectRefused { peer }, out);
            return;
        }
        let (change, is_duplicate) = match self.contacts.get(&peer) {
            None => (Some(PeerChange::Established), false),
            Some(contact) if contact.channels.is_empty() => (Some(PeerChange::Reconnected), false),
            Some(_) => (None, true),
        };
        let contact = self.contacts.entry(peer.clone());
        let contact = contact.or_insert_with(|| Contact::new(identity.clone()));
        contact.identity = identity.clone();
        contact.channels.push((channel, wire));
        self.channels.insert(channel, peer.clone());
        self.away.remove(&peer);
        if is_duplicate {
            self.report(Diagnostic::DuplicatePeer { peer: peer.clone() }, out);
        }
        out.extend(change.map(|change| Effect::Peer { peer, change }));
        self.apply(Input::PeerAvailable(identity), out);
    }

    /// A channel is gone.
    pub fn lost(&mut self, channel: ChannelKey, out: &mut Vec<Effect>) {
        let Some(peer) = self.channels.remove(&channel) else {
            return;
        };
        let Some(contact) = self.contacts.get_mut(&peer) else {
            return;
        };
        contact.channels.retain(|(key, _)| *key != channel);
        if !contact.channels.is_empty() {
            return;
        }
        contact.links.clear();
        self.away.insert(peer.clone(), ());
        out.push(Effect::Peer {
            peer: peer.clone(),
            change: PeerChange::Disconnected,
        });
        self.apply(Input::PeerUnavailable(peer), out);
        if self.away.len() > self.limits.max_away
            && let Some(peer) = self.away.first().cloned()
        {
            let limit = self.limits.max_away;
            self.departed(&peer, out);
            self.report(Diagnostic::PeerForgotten { peer, limit }, out);
        }
    }

    /// A peer is gone for good. One that still has a channel is not.
    pub fn departed(&mut self, peer: &PeerId, out: &mut Vec<Effect>) {
        if self.away.remove(peer).is_none() {
            return;
        }
        self.contacts.remove(peer);
        let (peer, change) = (peer.clone(), PeerChange::Departed);
        out.push(Effect::Peer {
            peer: peer.clone(),
            change,
        });
        self.apply(Input::PeerDeparted(peer), out);
    }

    /// A message has come on a channel.
    pub fn received(&mut self, channel: ChannelKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
        let kind = msg.kind();
        let Some(from) = self.channels.get(&channel).cloned() else {
            self.report(Diagnostic::NotEstablished { kind }, out);
            return;
        };
        match &msg {
            ChannelMsg::Establish(_) | ChannelMsg::Depart => {
                let report = Diagnostic::NotAboutDocuments { peer: from, kind };
                self.report(report, out);
                return;
            }
            ChannelMsg::Interest(interest) => self.has_asked(&from, interest, out),
            ChannelMsg::Offer(offer) => {
                self.offered = Some(offer.version.clone());
                self.is_held(&from, &offer.doc, kind, out);
            }
            ChannelMsg::Dismiss(doc) => {
                if let Some(contact) = self.contacts.get_mut(&from) {
                    contact.links.remove(doc);
                }
            }
            ChannelMsg::Vacant(doc) => {
                if self.program.document(doc).is_some() {
                    self.is_synced(&from, doc, out);
                }
            }
            ChannelMsg::Present(_) => {}
        }
        self.apply(Input::Received { from, msg }, out);
    }

    /// There is nothing left to do: what has changed is reported, each document once.
    pub fn quiet(&mut self, out: &mut Vec<Effect>) {
        self.apply(Input::Quiet, out);
    }

    /// A peer wants a document, from now on and in this connection.
    fn has_asked(&mut self, from: &PeerId, interest: &Interest, out: &mut Vec<Effect>) {
        let doc = &interest.doc;
        if !self.is_held(from, doc, "interest", out) {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(from) {
            contact.link(doc).has_asked = true;
        }
        let theirs = interest.version.as_ref();
        let relation = theirs.and_then(|theirs| self.relation(doc, theirs));
        if matches!(relation, Some(Relation::Equal | Relation::Ahead)) {
            self.is_synced(from, doc, out);
        }
    }

    /// True when the document has a replica here; if not, that is reported.
    fn is_held(
        &mut self,
        from: &PeerId,
        doc: &DocId,
        kind: &'static str,
        out: &mut Vec<Effect>,
    ) -> bool {
        let is_held = matches!(self.program.document(doc), Some((_, Some(_), _)));
        if !is_held {
            let (peer, doc) = (from.clone(), doc.clone());
            self.report(Diagnostic::NotHeld { peer, doc, kind }, out);
        }
        is_held
    }

    /// All that a peer had of a document is here.
    fn is_synced(&mut self, peer: &PeerId, doc: &DocId, out: &mut Vec<Effect>) {
        let Some(contact) = self.contacts.get_mut(peer) else {
            return;
        };
        if contact.channels.is_empty() || std::mem::replace(&mut contact.link(doc).is_synced, true)
        {
            return;
        }
        out.push(Effect::Synced {
            doc: doc.clone(),
            peer: peer.clone(),
        });
        if let Some(local) = self.documents.get_mut(doc)
            && !std::mem::replace(&mut local.is_ready, true)
        {
            out.push(Effect::Ready(doc.clone()));
        }
    }

    fn relation(&self, doc: &DocId, theirs: &kyneta_uds_core::Version) -> Option<Relation> {
        let (entry, _, ours) = self.program.document(doc)?;
        self.versions.relation(entry, ours, theirs)
    }

    fn report(&mut self, diagnostic: Diagnostic, out: &mut Vec<Effect>) {
        self.reports += 1;
        out.push(Effect::Report(diagnostic));
    }
}

/// What is known.
impl<V> SyncMachine<V> {
    /// How much is kept. Looks at each peer.
    pub fn counts(&self) -> SyncCounts {
        let states = |peer: &PeerId| self.program.states(peer).count();
        SyncCounts {
            peers: self.contacts.len(),
            away: self.away.len(),
            documents: self.documents.len(),
            opened: self.opened,
            destroyed: self.destroyed.len(),
            states: self.contacts.keys().map(states).sum(),
            reports: self.reports,
        }
    }

    /// What the peers have said of a document: which peer, what, and whether it has a channel.
    pub fn peer_states<'a>(
        &'a self,
        doc: &'a DocId,
    ) -> impl Iterator<Item = (&'a Identity, &'a PeerState, bool)> {
        self.program.peers().filter_map(move |identity| {
            let state = self.program.state(&identity.peer_id, doc)?;
            let is_away = self.away.contains(&identity.peer_id);
            Some((identity, state, !is_away))
        })
    }

    /// True when all that some connected peer had of the document is here.
    pub fn is_synced_now(&self, doc: &DocId) -> bool {
        let mut links = self
            .contacts
            .values()
            .filter_map(|contact| contact.links.get(doc));
        links.any(|link| link.is_synced)
    }

    /// True when the document was in sync with a peer at any time since it was opened.
    pub fn is_ready(&self, doc: &DocId) -> bool {
        self.documents.get(doc).is_some_and(|local| local.is_ready)
    }
}
