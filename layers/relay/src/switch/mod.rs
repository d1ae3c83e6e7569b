//! The switch: routes documents between members, and keeps none.
//!
//! In: members that are established and leave, their messages. Out: effects, in order. Touches nothing.

mod concurrent;
mod document;
mod documents;
mod entry;
mod fences;
mod links;
mod members;
mod pending;
mod present;
mod replies;
mod saved;
mod serialized;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Interest, Offer, Version, WireVersion};

use self::{
    document::{Document, Record, is_one},
    documents::Documents,
    entry::Class,
    members::{Member, MemberRef},
    pending::Pending,
    present::MAX_TOLD,
    tally::Tally,
};
use crate::{
    config::SwitchConfig,
    effect::{Diagnostic, Effect},
    member::{MemberFacts, MemberKey, MemberMap},
    router::{Holdings, RouterCounts},
};

/// A hub without documents. See the [crate](crate) for an example.
///
/// Effects are appended; the caller carries them out in order, and drops none: a member whose queue is full
/// is disconnected instead, because what it lacks it asks for when it comes back.
#[derive(Debug)]
pub struct Switch {
    config: SwitchConfig,
    members: MemberMap<Member>,
    /// The members in the order of establishment.
    order: BTreeMap<u64, MemberKey>,
    documents: Documents,
    /// The documents in the order of first presentation.
    listed: BTreeMap<u64, DocId>,
    /// Documents that may have stayed unequal.
    unsettled: Vec<DocId>,
    /// What follows from the last events.
    pending: Pending,
    /// What is kept of all documents.
    kept: Tally,
    next: u64,
}

/// What one event works with: all but the document.
struct Turn<'a> {
    config: &'a SwitchConfig,
    unsettled: &'a mut Vec<DocId>,
    out: &'a mut Vec<Effect>,
}

impl Switch {
    /// Without members.
    pub fn new(config: SwitchConfig) -> Self {
        Self {
            config,
            members: MemberMap::default(),
            order: BTreeMap::new(),
            documents: Documents::default(),
            listed: BTreeMap::new(),
            unsettled: Vec::new(),
            pending: Pending::default(),
            kept: Tally::default(),
            next: 0,
        }
    }

    /// How much is kept. It is counted as it changes.
    pub fn counts(&self) -> RouterCounts {
        debug_assert_eq!(
            self.kept,
            self.documents.values().map(Tally::of).sum(),
            "as counted anew"
        );
        debug_assert_eq!(
            self.kept.records,
            self.members.values().map(|of| of.listed.len()).sum(),
            "each record is listed with its member"
        );
        RouterCounts {
            members: self.members.len(),
            documents: self.documents.len(),
            records: self.kept.records,
            open: self.kept.open,
        }
    }

    /// Which member holds which documents: the members in the order of establishment, those without an id or a document
    /// left out. Looks at all of it.
    pub fn holdings(&self) -> Vec<Holdings> {
        let members = self.order.values().filter_map(|key| self.members.get(key));
        let holdings = members.filter_map(|member| {
            let holder = member.facts.identity.as_ref()?.peer_id.clone();
            let entries: Vec<_> = self.entries_of(member).collect();
            (!entries.is_empty()).then_some(Holdings { holder, entries })
        });
        holdings.collect()
    }

    fn entries_of(&self, member: &Member) -> impl Iterator<Item = Arc<DocEntry>> {
        member.listed.iter().filter_map(|order| {
            let doc = self.documents.get(self.listed.get(order)?)?;
            doc.records.get(doc.find(member.reference)?)?.entry.clone()
        })
    }

    /// A member is connected. One that is there already leaves first.
    pub fn established(&mut self, key: MemberKey, facts: MemberFacts, out: &mut Vec<Effect>) {
        self.left(key, out);
        let reference = MemberRef {
            key,
            order: self.number(),
            wire: facts.wire,
            link: facts.link,
        };
        self.order.insert(reference.order, key);
        let mut member = Member::new(reference, facts);

        let config = &self.config;
        let mut shown = Vec::new();
        for id in self.listed.values() {
            let Some(doc) = self.documents.get_mut(id) else {
                continue;
            };
            let holders: Vec<_> = doc
                .records
                .iter()
                .filter(|holder| !config.keeps_apart(holder.member.link, reference.link))
                .filter(|holder| holder.is_source())
                .filter_map(|holder| Some((holder.key(), holder.entry.clone()?)))
                .collect();
            let Some((_, first)) = holders.first() else {
                continue;
            };
            let Some(at) = doc.record(&mut member, &config.gate) else {
                continue;
            };
            let is_serialized = Class::of(first) == Class::Serialized;
            let mut variants: Vec<&Arc<DocEntry>> = Vec::new();
            for (_, entry) in &holders {
                if !variants
                    .iter()
                    .any(|known| is_one(Some(known), Some(entry), config))
                {
                    variants.push(entry);
                    shown.push(config.shown(entry, reference.wire));
                }
            }
            if let Some(record) = doc.records.get_mut(at) {
                record.is_shown = true;
                record.told = variants.into_iter().take(MAX_TOLD).cloned().collect();
                record.unasked = holders.iter().map(|(key, _)| *key).collect();
                if is_serialized && !reference.link {
                    record.replies.expect_interest();
                }
            }
            self.kept.count(doc);
        }
        self.members.insert(key, member);
        if !shown.is_empty() {
            out.push(Effect::send(key, ChannelMsg::Present(shown)));
        }
    }

    /// A member has sent a message.
    pub fn received(&mut self, from: MemberKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
        let Some(sender) = self.members.get(&from).map(|member| member.reference) else {
            out.push(report(Diagnostic::NotEstablished, from, None));
            return;
        };
        match msg {
            ChannelMsg::Offer(offer) => self.offer(sender, offer, out),
            ChannelMsg::Interest(interest) => self.interest(sender, interest, out),
            ChannelMsg::Present(entries) => self.present(sender, entries, out),
            ChannelMsg::Dismiss(doc) => self.dismiss(sender, &doc, out),
            ChannelMsg::Vacant(doc) => self.vacant(sender, &doc),
            // The handshake's, which is over, or below.
            ChannelMsg::Establish(_) | ChannelMsg::Depart => {}
        }
    }

    /// A member is gone.
    pub fn left(&mut self, key: MemberKey, out: &mut Vec<Effect>) {
        let Some(member) = self.members.remove(&key) else {
            return;
        };
        self.order.remove(&member.reference.order);
        for order in member.listed {
            if let Some(id) = self.listed.get(&order).cloned() {
                self.drop_record(member.reference, &id, out);
            }
        }
    }

    /// A member is gone, and [`left`](Self::left) will follow. Meanwhile it dismisses what it has spoken of or was told of, as
    /// much as about `records` records take; true when there is more. Nothing of a link, whose interests may be kept.
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash, WireVersion::V3};
    /// use kyneta_uds_relay::{MemberFacts, MemberKey, Switch, SwitchConfig};
    ///
    /// let (mut switch, alice) = (Switch::new(SwitchConfig::default()), MemberKey(1));
    /// let out = &mut Vec::new();
    /// switch.established(alice, MemberFacts::local(V3), out);
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// for id in ["settings", "notes"] {
    ///     let entry = DocEntry::new(DocId::new(id)?, loro.clone(), SchemaHash::new("02ab")?);
    ///     switch.received(alice, ChannelMsg::Present(vec![entry]), out);
    /// }
    /// assert!(switch.leaving(alice, 1, out)); // one of two is dismissed
    /// assert!(!switch.leaving(alice, 1, out));
    /// switch.left(alice, out);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leaving(&mut self, key: MemberKey, records: usize, out: &mut Vec<Effect>) -> bool {
        let mut looked_at = 0;
        while let Some(member) = self.members.get(&key)
            && !member.reference.link
            && let Some(order) = member.listed.first()
        {
            if looked_at >= records {
                return true;
            }
            let (reference, id) = (member.reference, self.listed.get(order).cloned());
            let Some(id) = id else { return false };
            let doc = self.documents.get(&id);
            looked_at += doc.map_or(1, |doc| doc.records.len());
            if !self.drop_record(reference, &id, out) {
                return false;
            }
        }
        false
    }

    /// True when [`reconcile`](Self::reconcile) has something to do.
    pub fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// Asks again where a document may have stayed unequal, because an answer crossed another message on its
    /// way. To be called some time after an event, a second say, while [`is_unsettled`](Self::is_unsettled).
    pub fn reconcile(&mut self, out: &mut Vec<Effect>) {
        for id in std::mem::take(&mut self.unsettled) {
            let Some(doc) = self.documents.get_mut(&id) else {
                continue;
            };
            let is_unsettled = std::mem::take(&mut doc.is_unsettled);
            let is_mixed = std::mem::take(&mut doc.is_mixed);
            let mut turn = Turn {
                config: &self.config,
                unsettled: &mut self.unsettled,
                out,
            };
            if is_mixed {
                turn.settle_apart(doc);
            }
            if is_unsettled {
                turn.ask_uncertain(doc);
                turn.ask_the_rest(doc);
                turn.reconcile_serialized(doc);
                turn.reconcile_snapshots(doc);
            }
            self.kept.count(doc);
        }
    }

    fn offer(&mut self, sender: MemberRef, mut offer: Offer, out: &mut Vec<Effect>) {
        // A link says it, and it is said to links.
        let base = offer.base.take().filter(|_| sender.link);
        let doc = self.documents.get_mut(&offer.doc);
        let found = doc.and_then(|doc| Some((doc.find(sender)?, doc)));
        let holder = found.filter(|(at, doc)| {
            let record = doc.records.get(*at);
            record.is_some_and(|record| record.entry.is_some())
        });
        let Some((at, doc)) = holder else {
            let diagnostic = Diagnostic::OfferWithoutPresent;
            out.push(report(diagnostic, sender.key, Some(offer.doc)));
            return;
        };
        if !doc.records.get(at).is_some_and(Record::may_write) {
            let diagnostic = Diagnostic::WriteNotPermitted;
            out.push(report(diagnostic, sender.key, Some(offer.doc)));
            return;
        }
        let mut turn = Turn {
            config: &self.config,
            unsettled: &mut self.unsettled,
            out,
        };
        let changes_counts = if doc.class_at(at) == Some(Class::Serialized) {
            turn.serialized_offer(doc, at, offer, base.map(|base| *base));
            true
        } else {
            turn.offer(doc, at, offer)
        };
        if changes_counts {
            self.kept.count(doc);
        }
    }

    fn interest(&mut self, sender: MemberRef, interest: Interest, out: &mut Vec<Effect>) {
        let doc = self.documents.get_mut(&interest.doc);
        let is_there = doc.is_some();
        let member = self.members.get_mut(&sender.key);
        let found = doc.zip(member).and_then(|(doc, member)| {
            let at = doc.record(member, &self.config.gate)?;
            Some((at, doc.class_at(at)?, doc))
        });
        let Some((at, class, doc)) = found else {
            if is_there {
                let diagnostic = Diagnostic::NotPermitted;
                out.push(report(diagnostic, sender.key, Some(interest.doc.clone())));
            }
            if sender.wire != WireVersion::V2 {
                out.push(Effect::send(sender.key, ChannelMsg::Vacant(interest.doc)));
            }
            return;
        };
        let mut turn = Turn {
            config: &self.config,
            unsettled: &mut self.unsettled,
            out,
        };
        match class {
            Class::Serialized => turn.serialized_interest(doc, at, interest),
            Class::Concurrent | Class::Snapshot => turn.interest(doc, at, class, interest),
        }
        self.kept.count(doc);
        if doc.records.get(at).is_some_and(|of| of.replies.is_short()) {
            self.pending.add(doc);
        }
    }

    fn dismiss(&mut self, sender: MemberRef, id: &DocId, out: &mut Vec<Effect>) {
        if !self.drop_record(sender, id, out) {
            let diagnostic = Diagnostic::DismissUnknown;
            out.push(report(diagnostic, sender.key, Some(id.clone())));
        }
    }

    fn vacant(&mut self, sender: MemberRef, id: &DocId) {
        let doc = self.documents.get_mut(id);
        if let Some(doc) = doc
            && let Some(at) = doc.find(sender)
            && let Some(record) = doc.records.get_mut(at)
        {
            // It may answer an interest in a document that it has closed and presented again since.
            record.is_told_partly |= !record.unasked.is_empty();
            record.unasked.clear();
        }
    }

    /// A member has nothing to do with a document any more; false when it had not.
    fn drop_record(&mut self, sender: MemberRef, id: &DocId, out: &mut Vec<Effect>) -> bool {
        let Some(doc) = self.documents.get_mut(id) else {
            return false;
        };
        let Some(gone) = doc.remove(sender) else {
            return false;
        };
        if doc.pusher == Some(sender.key) {
            doc.pusher = None;
        }
        for record in &mut doc.records {
            record.owed.retain(|key| *key != sender.key);
            record.unasked.retain(|key| *key != sender.key);
        }
        let was_holder = gone.entry.is_some();
        if let Some(member) = self.members.get_mut(&sender.key) {
            if !doc.keep_link(&gone) {
                member.listed.remove(&doc.order);
            }
            member.documents -= usize::from(was_holder);
            if !gone.asks.is_empty() || gone.is_uncertain {
                member.note_uncertain(id, &self.config);
            }
        }
        let mut turn = Turn {
            config: &self.config,
            unsettled: &mut self.unsettled,
            out,
        };
        match doc.class(&gone) {
            Class::Serialized => turn.settle(doc),
            _ if was_holder => turn.ask_again(doc, gone),
            _ => {}
        }
        if was_holder && !doc.has_holders() {
            for record in doc.records.iter().filter(|record| record.wants) {
                turn.send(record.key(), ChannelMsg::Dismiss(id.clone()));
            }
            self.pending.withdraw(doc, &self.config);
            for record in &doc.records {
                let stale = record.replies.outstanding();
                if let Some(member) = self.members.get_mut(&record.key()) {
                    member.listed.remove(&doc.order);
                    member.note_stale(id, stale, &self.config);
                }
            }
            doc.records.clear();
            self.kept.count(doc);
            self.listed.remove(&doc.order);
            self.documents.remove(id);
        } else {
            self.kept.count(doc);
            self.check_links(id);
        }
        true
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

const fn report(diagnostic: Diagnostic, member: MemberKey, doc: Option<DocId>) -> Effect {
    Effect::Report {
        diagnostic,
        member,
        doc,
    }
}

/// An interest of the switch's own.
fn since(doc: &Document, version: Option<Version>) -> Interest {
    Interest {
        doc: doc.id.clone(),
        version,
        reciprocate: Some(false),
    }
}

impl Turn<'_> {
    fn send(&mut self, to: MemberKey, msg: impl Into<ChannelMsg>) {
        self.out.push(Effect::send(to, msg.into()));
    }

    /// The document is looked at again by [`Switch::reconcile`].
    fn mark_unsettled(&mut self, doc: &mut Document) {
        let is_listed = doc.is_mixed;
        if !std::mem::replace(&mut doc.is_unsettled, true) && !is_listed {
            self.unsettled.push(doc.id.clone());
        }
    }

    fn mark_mixed(&mut self, doc: &mut Document) {
        let is_listed = doc.is_unsettled;
        if !std::mem::replace(&mut doc.is_mixed, true) && !is_listed {
            self.unsettled.push(doc.id.clone());
        }
    }

    fn report(&mut self, diagnostic: Diagnostic, member: MemberKey, doc: Option<&DocId>) {
        self.out.push(report(diagnostic, member, doc.cloned()));
    }

    fn passes(&self, doc: &Document, a: usize, b: usize) -> bool {
        match (doc.records.get(a), doc.records.get(b)) {
            (Some(a), Some(b)) => a.passes(b, self.config),
            _ => false,
        }
    }

    fn is_wanted_by_another(&self, doc: &Document, at: usize) -> bool {
        let record = doc.records.get(at);
        record.is_some_and(|record| doc.others(record, self.config).any(|other| other.wants))
    }

    /// Says that the document is not here; false to a member that would not understand.
    fn vacant(&mut self, doc: &Document, at: usize) -> bool {
        let Some(sender) = doc.records.get(at).map(|record| record.member) else {
            return false;
        };
        if sender.wire == WireVersion::V2 {
            return false;
        }
        self.send(sender.key, ChannelMsg::Vacant(doc.id.clone()));
        true
    }
}
