//! The program of the reference: what a peer says of documents, and when.
//!
//! In: [`Input`]. Out: [`Effect`]s, in order. Touches nothing. It knows peers, not channels, and asks nothing of
//! versions: what an import comes to, is an input. Its effects are those of the reference, one by one
//! (`tests/walks`); where the reference is wrong, [`SyncMachine`](crate::SyncMachine) around it heals.

mod document;
mod effect;
mod input;
mod messages;
mod peer;

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, Interest, PeerId, Version};

use self::{document::Document, peer::Peer};
use crate::ordered::Ordered;

pub use document::{DocEvent, Held, Mismatch, mismatch};
pub use effect::Effect;
pub use input::Input;
pub use peer::PeerState;

pub(crate) use document::shares_schema;

/// Which peer may be told of which document, and whose offers are taken.
pub trait Gates {
    /// The peer is told of the document and of its changes.
    fn can_share(&self, doc: &DocId, peer: &Identity) -> bool;
    /// The peer's offers of the document are imported.
    fn can_accept(&self, doc: &DocId, peer: &Identity) -> bool;
}

/// The state of each peer with each document.
///
/// ```
/// use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, ReplicaType, SchemaHash, Version};
/// use kyneta_uds_sync::{Policies, program::{Effect, Held, Input, Program}};
///
/// let (mut program, gates, mut effects) = (Program::default(), Policies::default(), Vec::new());
/// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
/// let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
/// let (held, version, event) = (Held::Interpreted, Version::new("AA==")?, None);
/// program.apply(Input::Ensure { entry: entry.clone(), held, version, event }, &gates, &mut effects);
/// assert_eq!(effects, []); // there is no peer yet
///
/// let bob = Identity::user("bob")?;
/// program.apply(Input::PeerAvailable(bob.clone()), &gates, &mut effects);
/// let msg = ChannelMsg::Present(vec![entry]);
/// assert_eq!(effects, [Effect::Send { to: vec![bob.peer_id], msg }]);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// In the order in which they were first established.
    peers: Ordered<PeerId, Peer>,
    /// In the order in which they came.
    documents: Ordered<DocId, Document>,
    queued: Queued,
}

/// What comes out when it is quiet.
#[derive(Debug, Clone, Default)]
struct Queued {
    states: Ordered<DocId, ()>,
    advanced: Ordered<DocId, ()>,
    events: Vec<(DocEvent, DocId)>,
}

impl Program {
    /// Takes one input. An input that does not fit the state changes nothing.
    pub fn apply(&mut self, input: Input, gates: &dyn Gates, out: &mut Vec<Effect>) {
        match input {
            Input::PeerAvailable(identity) => self.available(identity, gates, out),
            Input::PeerUnavailable(peer) => {
                if let Some(peer) = self.peers.get(&peer) {
                    self.queued.states_changed(peer.states.keys());
                }
            }
            Input::PeerDeparted(peer) => {
                if let Some(peer) = self.peers.remove(&peer) {
                    self.queued.states_changed(peer.states.keys());
                }
            }
            Input::Received { from, msg } => self.received(from, msg, gates, out),
            Input::Ensure {
                entry,
                held,
                version,
                event,
            } => self.ensure(entry, held, version, event, gates, out),
            Input::Defer { entry, event } => self.defer(entry, event, gates, out),
            Input::LocalChange { doc, version } => {
                self.push(&doc, None, gates, out);
                self.advance(&doc, version);
            }
            Input::Imported { doc, from, version } => {
                self.push(&doc, Some(&from), gates, out);
                if self.advance(&doc, version.clone()) {
                    self.set_state(&from, &doc, PeerState::Synced(version));
                }
            }
            Input::NothingNew { doc, from, version } => {
                if self.documents.contains(&doc) {
                    self.set_state(&from, &doc, PeerState::Synced(version));
                }
            }
            Input::Dismiss { doc, event } => {
                self.remove(&doc, event);
                let to = self.sharers(&doc, gates);
                send(to, ChannelMsg::Dismiss(doc), out);
            }
            Input::Delete { doc, event } => self.remove(&doc, event),
            Input::Forget(doc) => self.forget(&doc),
            Input::DeclareVacant { doc, to } => {
                if self.peers.contains(&to) {
                    send(vec![to], ChannelMsg::Vacant(doc), out);
                }
            }
            Input::AllRemoved(docs) => {
                if !docs.is_empty() {
                    self.documents = Ordered::default();
                }
                let removed = docs.into_iter().map(|doc| (DocEvent::Removed, doc));
                self.queued.events.extend(removed);
            }
            Input::Quiet => self.queued.flush(out),
        }
    }

    fn available(&mut self, identity: Identity, gates: &dyn Gates, out: &mut Vec<Effect>) {
        let shared =
            |(id, doc): (&DocId, &Document)| gates.can_share(id, &identity).then(|| doc.shown());
        let entries: Vec<DocEntry> = self.documents.iter().filter_map(shared).collect();
        let id = identity.peer_id.clone();
        match self.peers.get_mut(&id) {
            Some(peer) => peer.identity = identity,
            None => self.peers.insert(id.clone(), Peer::new(identity)),
        }
        if !entries.is_empty() {
            send(vec![id], ChannelMsg::Present(entries), out);
        }
    }

    fn ensure(
        &mut self,
        entry: DocEntry,
        held: Held,
        version: Version,
        event: Option<DocEvent>,
        gates: &dyn Gates,
        out: &mut Vec<Effect>,
    ) {
        let id = entry.doc.clone();
        if self.has_replica(&id) {
            return;
        }
        self.queued.event(event, &id);
        let doc = Document {
            entry,
            held: Some(held),
            version,
        };
        let to = self.sharers(&id, gates);
        send(to.clone(), ChannelMsg::Present(vec![doc.shown()]), out);
        send(to, interest(&id, &doc, doc.is_mutual()), out);
        self.documents.insert(id, doc);
    }

    fn defer(
        &mut self,
        entry: DocEntry,
        event: Option<DocEvent>,
        gates: &dyn Gates,
        out: &mut Vec<Effect>,
    ) {
        let id = entry.doc.clone();
        if self.documents.contains(&id) {
            return;
        }
        self.queued.event(event, &id);
        let doc = Document {
            entry,
            held: None,
            version: Version::default(),
        };
        let to = self.sharers(&id, gates);
        send(to, ChannelMsg::Present(vec![doc.shown()]), out);
        self.documents.insert(id, doc);
    }

    /// An offer of what is newer than the version before this change, to each peer that wants the document.
    fn push(&self, id: &DocId, except: Option<&PeerId>, gates: &dyn Gates, out: &mut Vec<Effect>) {
        let Some(doc) = self.documents.get(id) else {
            return;
        };
        let wanting = self.peers.iter().filter(|(peer, of)| {
            Some(*peer) != except && of.wants(id) && gates.can_share(id, &of.identity)
        });
        let to: Vec<PeerId> = wanting.map(|(peer, _)| peer.clone()).collect();
        let since = (!doc.is_transient()).then(|| doc.version.clone());
        offer(to, id, since, None, out);
    }

    /// The replica is at another version; false when there is no such document.
    fn advance(&mut self, id: &DocId, version: Version) -> bool {
        let Some(doc) = self.documents.get_mut(id) else {
            return false;
        };
        doc.version = version;
        self.queued.advanced.insert(id.clone(), ());
        true
    }

    fn remove(&mut self, id: &DocId, event: Option<DocEvent>) {
        self.queued.event(event, id);
        self.documents.remove(id);
    }

    fn forget(&mut self, id: &DocId) {
        let peers: Vec<PeerId> = self.peers.keys().cloned().collect();
        for peer in &peers {
            let peer = self.peers.get_mut(peer);
            if peer.is_some_and(|peer| peer.states.remove(id).is_some()) {
                self.queued.states.insert(id.clone(), ());
            }
        }
    }

    fn set_state(&mut self, peer: &PeerId, doc: &DocId, state: PeerState) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.states.insert(doc.clone(), state);
            self.queued.states.insert(doc.clone(), ());
        }
    }

    /// The peers that are told of a document.
    fn sharers(&self, doc: &DocId, gates: &dyn Gates) -> Vec<PeerId> {
        let told =
            |(id, peer): (&PeerId, &Peer)| gates.can_share(doc, &peer.identity).then(|| id.clone());
        self.peers.iter().filter_map(told).collect()
    }

    fn has_replica(&self, doc: &DocId) -> bool {
        self.documents
            .get(doc)
            .is_some_and(|doc| doc.held.is_some())
    }
}

/// What is known.
impl Program {
    /// The documents, in the order in which they came: the entry, what is here, and its version.
    pub fn documents(&self) -> impl Iterator<Item = (&DocEntry, Option<Held>, &Version)> {
        self.documents
            .iter()
            .map(|(_, doc)| (&doc.entry, doc.held, &doc.version))
    }

    /// One of them.
    pub fn document(&self, doc: &DocId) -> Option<(&DocEntry, Option<Held>, &Version)> {
        let doc = self.documents.get(doc)?;
        Some((&doc.entry, doc.held, &doc.version))
    }

    /// The peers, in the order in which they were first established.
    pub fn peers(&self) -> impl Iterator<Item = &Identity> {
        self.peers.iter().map(|(_, peer)| &peer.identity)
    }

    /// What a peer has said, in the order in which it first spoke of each document.
    pub fn states(&self, peer: &PeerId) -> impl Iterator<Item = (&DocId, &PeerState)> {
        let peer = self.peers.get(peer).into_iter();
        peer.flat_map(|peer| peer.states.iter())
    }

    /// What a peer has said of one document.
    pub fn state(&self, peer: &PeerId, doc: &DocId) -> Option<&PeerState> {
        self.peers.get(peer)?.states.get(doc)
    }
}

impl Queued {
    fn states_changed<'a>(&mut self, docs: impl Iterator<Item = &'a DocId>) {
        for doc in docs {
            self.states.insert(doc.clone(), ());
        }
    }

    fn event(&mut self, event: Option<DocEvent>, doc: &DocId) {
        self.events.extend(event.map(|event| (event, doc.clone())));
    }

    fn flush(&mut self, out: &mut Vec<Effect>) {
        if !self.states.is_empty() {
            out.push(Effect::PeerStatesChanged(self.states.take_keys()));
        }
        if !self.advanced.is_empty() {
            out.push(Effect::Advanced(self.advanced.take_keys()));
        }
        if !self.events.is_empty() {
            out.push(Effect::DocEvents(std::mem::take(&mut self.events)));
        }
    }
}

fn send(to: Vec<PeerId>, msg: ChannelMsg, out: &mut Vec<Effect>) {
    if !to.is_empty() {
        out.push(Effect::Send { to, msg });
    }
}

fn offer(
    to: Vec<PeerId>,
    doc: &DocId,
    since: Option<Version>,
    reciprocate: Option<bool>,
    out: &mut Vec<Effect>,
) {
    if !to.is_empty() {
        out.push(Effect::Offer {
            to,
            doc: doc.clone(),
            since,
            reciprocate,
        });
    }
}

fn interest(id: &DocId, doc: &Document, reciprocate: bool) -> ChannelMsg {
    let interest = Interest::new(id.clone()).since(doc.version.clone());
    interest.reciprocate(reciprocate).into()
}
