//! A member as the reference behaves above the channel: what it answers, and when it pushes.
//!
//! In: messages of its hub, edits. Out: messages. It is written after the reference, not after the switch. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Offer, SyncMode};
use kyneta_uds_relay::MemberKey;

use crate::{content::Content, edits::Edit};

/// One process. It keeps its documents when its connection is lost.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) docs: BTreeMap<DocId, Replica>,
    /// Counts its restarts without documents: edits of two of them differ.
    incarnation: u32,
    /// How often it has edited each document.
    edits: BTreeMap<DocId, u32>,
    pub(crate) link: Option<Link>,
    /// It opens documents that it is told of.
    opens: bool,
    /// Documents that it has closed in this session, serialized ones or ones that it may open as another
    /// variant. What is on its way to it would be read into the new one, so it waits for the next session.
    closed: BTreeSet<DocId>,
}

/// Its connection: what is on its way.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: MemberKey,
    pub(crate) to_hub: VecDeque<ChannelMsg>,
    pub(crate) from_hub: VecDeque<ChannelMsg>,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) entry: DocEntry,
    pub(crate) content: Content,
    /// The hub has asked for it, in this session.
    is_wanted: bool,
    /// It does not know the schema yet: it presents the document, and neither asks nor answers.
    pub(crate) deferred: bool,
}

impl Replica {
    fn new(entry: DocEntry, deferred: bool) -> Self {
        Self {
            content: Content::empty(entry.mode),
            entry,
            is_wanted: false,
            deferred,
        }
    }
}

impl Member {
    pub(crate) fn new(incarnation: u32, opens: bool) -> Self {
        Self {
            docs: BTreeMap::new(),
            incarnation,
            edits: BTreeMap::new(),
            link: None,
            opens,
            closed: BTreeSet::new(),
        }
    }

    /// A connection is established: it presents what it has.
    pub(crate) fn connect(&mut self, key: MemberKey) {
        let mut link = Link {
            key,
            to_hub: VecDeque::new(),
            from_hub: VecDeque::new(),
        };
        self.closed.clear();
        for replica in self.docs.values_mut() {
            replica.is_wanted = false;
        }
        if !self.docs.is_empty() {
            let entries = self.docs.values().map(|replica| replica.entry.clone());
            link.to_hub
                .push_back(ChannelMsg::Present(entries.collect()));
        }
        self.link = Some(link);
    }

    fn send(&mut self, msg: impl Into<ChannelMsg>) {
        if let Some(link) = &mut self.link {
            link.to_hub.push_back(msg.into());
        }
    }

    /// Makes a document, and asks for it.
    pub(crate) fn open(&mut self, entry: DocEntry, deferred: bool) {
        let doc = entry.doc.clone();
        if self.docs.contains_key(&doc) || self.closed.contains(&doc) {
            return;
        }
        let replica = Replica::new(entry.clone(), deferred);
        let interest = replica.content.interest(&doc, true);
        self.docs.insert(doc, replica);
        self.send(ChannelMsg::Present(vec![entry]));
        if !deferred {
            self.send(interest);
        }
    }

    /// The schema of a deferred document is known now.
    pub(crate) fn learn(&mut self, doc: &DocId) {
        let replica = self.docs.get_mut(doc).unwrap();
        if std::mem::take(&mut replica.deferred) {
            let interest = replica.content.interest(doc, true);
            self.send(interest);
        }
    }

    pub(crate) fn close(&mut self, doc: &DocId, has_variants: bool) {
        if let Some(replica) = self.docs.remove(doc) {
            if has_variants || replica.entry.mode == SyncMode::Authoritative {
                self.closed.insert(doc.clone());
            }
            self.send(ChannelMsg::Dismiss(doc.clone()));
        }
    }

    pub(crate) fn edit(&mut self, doc: &DocId, now: u32) -> Option<Edit> {
        let replica = self.docs.get_mut(doc).filter(|replica| !replica.deferred)?;
        let number = self.edits.entry(doc.clone()).or_insert(0);
        *number += 1;
        let edit = (self.incarnation, *number);
        let before = replica.content.version();
        replica.content.edit(edit, now);
        if replica.is_wanted {
            let push = replica.content.since(doc, Some(&before)).unwrap();
            self.send(push);
        }
        Some(edit)
    }

    /// One message of the hub's.
    pub(crate) fn receive(&mut self, msg: ChannelMsg) {
        match msg {
            ChannelMsg::Present(entries) => {
                for entry in entries {
                    match self.docs.get(&entry.doc) {
                        Some(replica) if replica.deferred || replica.entry != entry => {}
                        Some(replica) => {
                            let interest = replica.content.interest(&entry.doc, true);
                            self.send(interest);
                        }
                        None if self.opens => self.open(entry, false),
                        None => {}
                    }
                }
            }
            ChannelMsg::Interest(interest) => {
                let Some(replica) = self.docs.get_mut(&interest.doc) else {
                    self.send(ChannelMsg::Vacant(interest.doc));
                    return;
                };
                if replica.deferred {
                    return;
                }
                replica.is_wanted = true;
                let answer = replica
                    .content
                    .since(&interest.doc, interest.version.as_ref());
                let own = replica.content.interest(&interest.doc, false);
                if let Some(answer) = answer {
                    self.send(answer.reciprocate(false));
                }
                if interest.reciprocate == Some(true) && own.reciprocate.is_some() {
                    self.send(own);
                }
            }
            ChannelMsg::Offer(offer) => self.take(&offer),
            ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => {
                if let Some(replica) = self.docs.get_mut(&doc) {
                    replica.is_wanted = false;
                }
            }
            ChannelMsg::Establish(_) | ChannelMsg::Depart => {}
        }
    }

    fn take(&mut self, offer: &Offer) {
        let replica = self.docs.get_mut(&offer.doc);
        if let Some(replica) = replica.filter(|replica| !replica.deferred) {
            replica.content.merge(offer);
            replica.is_wanted = true;
        }
    }
}
