//! A peer: a machine, its replicas, and the shell that carries out effects.
//!
//! In: messages, edits. Out: messages, in the order of the effects. Pure: its replicas are values, and there is no
//! clock.

use std::collections::{BTreeMap, VecDeque};

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, ReplicaType, WireVersion};
use kyneta_uds_sync::{ChannelKey, Diagnostic, Effect, Held, Policy, Resolve, Schema, SyncMachine};

use crate::{
    content::{Content, ToyVersions, entry, mode},
    edits::Edit,
};

/// What it does with documents that other peers present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Opens,
    Replicates,
    /// It knows the replica type alone.
    Defers,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: SyncMachine<ToyVersions>,
    pub(crate) docs: BTreeMap<DocId, Content>,
    incarnation: u32,
    /// How often it has edited each document, and destroyed it: what follows is of another author, because nothing may
    /// be left of the edits before.
    edits: BTreeMap<DocId, (u32, u32)>,
    /// What it has sent and has not been passed on.
    pub(crate) sent: VecDeque<(ChannelKey, ChannelMsg)>,
    pub(crate) reports: Vec<Diagnostic>,
    pub(crate) ready: Vec<DocId>,
}

fn schema(name: &str) -> Schema {
    let of = entry(name);
    Schema::new(of.replica, of.mode, of.schema)
}

impl Node {
    pub(crate) fn new(incarnation: u32, kind: Kind) -> Self {
        let mut node = Self {
            machine: SyncMachine::new(ToyVersions),
            docs: BTreeMap::new(),
            incarnation,
            edits: BTreeMap::new(),
            sent: VecDeque::new(),
            reports: Vec::new(),
            ready: Vec::new(),
        };
        if kind == Kind::Opens {
            node.learn();
        }
        for name in ["c", "s", "e"] {
            let toy = ReplicaType::new("toy", 1.0, 0.0).unwrap();
            node.machine.register_replica(toy, mode(name));
        }
        if kind == Kind::Replicates {
            let policy = Policy::new().resolve(|_, _| Some(Resolve::Replicate));
            node.machine.policies().add(policy);
        }
        node
    }

    /// All schemas are known from now on.
    pub(crate) fn learn(&mut self) {
        for name in ["c", "s", "e"] {
            self.act(|machine, out| machine.register_schema(schema(name), out));
        }
    }

    pub(crate) fn connect(&mut self, channel: ChannelKey, peer: &str) {
        let peer = Identity::service(peer).unwrap();
        self.act(|machine, out| machine.established(channel, peer, WireVersion::V3, out));
    }

    pub(crate) fn lose(&mut self, channel: ChannelKey) {
        self.sent.retain(|(to, _)| *to != channel);
        self.act(|machine, out| machine.lost(channel, out));
    }

    pub(crate) fn receive(&mut self, channel: ChannelKey, msg: ChannelMsg) {
        self.act(|machine, out| machine.received(channel, msg, out));
    }

    pub(crate) fn open(&mut self, name: &str) {
        let entry = entry(name);
        let mut effects = VecDeque::new();
        self.make(entry, Held::Interpreted, &mut effects);
        self.carry_out(effects);
    }

    pub(crate) fn edit(&mut self, doc: &DocId, now: u32) -> Option<Edit> {
        let content = self.docs.get_mut(doc)?;
        let (number, destroyed) = self.edits.entry(doc.clone()).or_default();
        *number += 1;
        let edit = (self.incarnation + 1_000 * *destroyed, *number);
        content.edit(edit, now);
        let version = content.version();
        self.act(|machine, out| machine.changed(doc, version, out));
        Some(edit)
    }

    pub(crate) fn destroy(&mut self, doc: &DocId) {
        if self.docs.remove(doc).is_some() {
            let (number, destroyed) = self.edits.entry(doc.clone()).or_default();
            (*number, *destroyed) = (0, *destroyed + 1);
        }
        self.act(|machine, out| machine.destroy(doc, out));
    }

    /// Does something, and all that follows.
    pub(crate) fn act(
        &mut self,
        act: impl FnOnce(&mut SyncMachine<ToyVersions>, &mut Vec<Effect>),
    ) {
        let mut out = Vec::new();
        act(&mut self.machine, &mut out);
        self.carry_out(out.into());
    }

    fn carry_out(&mut self, mut effects: VecDeque<Effect>) {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send { to, msg } => self.sent.push_back((to, msg)),
                Effect::Offer {
                    to,
                    doc,
                    since,
                    reciprocate,
                } => {
                    if let Some(mut offer) = self.docs[&doc].export(&doc, since.as_ref()) {
                        offer.reciprocate = reciprocate;
                        let each = to.into_iter().map(|to| (to, offer.clone().into()));
                        self.sent.extend(each);
                    }
                }
                Effect::Import { from, offer, how } => {
                    let content = self.docs.get_mut(&offer.doc).unwrap();
                    let outcome = content.import(&offer, how);
                    let mut out = Vec::new();
                    self.machine.imported(&offer.doc, &from, outcome, &mut out);
                    effects.extend(out);
                }
                Effect::Open { entry, .. } => self.make(entry, Held::Interpreted, &mut effects),
                Effect::Replicate { entry } => self.make(entry, Held::Replicated, &mut effects),
                Effect::Report(report) => self.reports.push(report),
                Effect::Ready(doc) => self.ready.push(doc),
                _ => {}
            }
        }
    }

    fn make(&mut self, entry: DocEntry, held: Held, effects: &mut VecDeque<Effect>) {
        let empty = || Content::empty(entry.doc.as_str());
        let version = self
            .docs
            .entry(entry.doc.clone())
            .or_insert_with(empty)
            .version();
        let mut out = Vec::new();
        self.machine.open(entry, held, version, &mut out);
        effects.extend(out);
    }
}
