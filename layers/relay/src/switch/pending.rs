//! What follows from an event besides what it says at once.
//!
//! In: documents that an event has left something of. Out: what is left. Touches nothing.
//!
//! The recorded walks give the effects of each event. What they leave out is an event of its own, so that it changes
//! none of them.

use std::{collections::BTreeSet, mem};

use kyneta_uds_core::{ChannelMsg, DocId};

use super::{
    Switch, Turn,
    document::{Document, Record},
};
use crate::{config::SwitchConfig, effect::Effect, member::MemberKey};

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By their places in the order of first presentation.
    documents: BTreeSet<u64>,
    /// Documents that were forgotten, and links that they had been shown to.
    withdrawn: Vec<(MemberKey, DocId)>,
}

impl Pending {
    pub(super) fn add(&mut self, doc: &Document) {
        self.documents.insert(doc.order);
    }

    /// The document is forgotten. Links that want it are told at once.
    pub(super) fn withdraw(&mut self, doc: &Document, config: &SwitchConfig) {
        self.documents.remove(&doc.order);
        let links = doc.records.iter().filter(|record| record.is_link_shown());
        for link in links.filter(|link| !link.wants) {
            if self.withdrawn.len() < config.max_documents {
                self.withdrawn.push((link.key(), doc.id.clone()));
            }
        }
    }
}

impl Switch {
    /// What follows from the last event besides its own effects: links are told of a document that has got its first
    /// holder on this side, or lost the last one; a member whose version is doubtful is asked for it once more. To be
    /// called after each event; it seldom has anything to do.
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash, WireVersion::V3};
    /// use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
    ///
    /// let mut switch = Switch::new(SwitchConfig::default());
    /// let (member, link) = (MemberKey(1), MemberKey(2));
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// let entry = DocEntry::new(DocId::new("settings")?, loro, SchemaHash::new("02ab")?);
    /// let present = ChannelMsg::Present(vec![entry]);
    /// let out = &mut Vec::new();
    ///
    /// switch.established(link, MemberFacts::link(V3), out);
    /// switch.received(link, present.clone(), out);
    /// switch.established(member, MemberFacts::local(V3), out);
    /// switch.received(member, present.clone(), out);
    /// out.clear();
    /// switch.follow_up(out);
    /// assert_eq!(*out, [Effect::send(link, present)]);
    /// # Ok::<(), kyneta_uds_core::TextTooLong>(())
    /// ```
    #[inline]
    pub fn follow_up(&mut self, out: &mut Vec<Effect>) {
        if !self.pending.documents.is_empty() || !self.pending.withdrawn.is_empty() {
            let pending = mem::take(&mut self.pending);
            self.follow_up_on(pending, out);
        }
    }

    #[cold]
    fn follow_up_on(&mut self, pending: Pending, out: &mut Vec<Effect>) {
        for (link, id) in pending.withdrawn {
            // It may have been presented anew.
            let doc = self.documents.get(&id);
            let record = doc.and_then(|doc| doc.records.get(doc.by_key(link)?));
            if self.members.contains_key(&link) && !record.is_some_and(Record::is_link_shown) {
                out.push(Effect::send(link, ChannelMsg::Dismiss(id)));
            }
        }
        for order in pending.documents {
            let id = self.listed.get(&order);
            if let Some(doc) = id.and_then(|id| self.documents.get_mut(id)) {
                let mut turn = Turn {
                    config: &self.config,
                    unsettled: &mut self.unsettled,
                    out,
                };
                turn.tell_links(doc);
                turn.lengthen_fences(doc);
                self.kept.count(doc);
            }
        }
    }
}
