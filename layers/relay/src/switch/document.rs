//! One document: a record for each member that was told of it or speaks of it.
//!
//! In: members and entries, by the modules for each sync mode. Out: records, in the order of establishment, and which
//! of them may hear of one another. Pure.

mod saved;

use std::{collections::VecDeque, sync::Arc};

use kyneta_uds_core::{DocEntry, DocId, Interest, Version};

use super::{
    entry::Class,
    members::{Member, MemberRef},
    replies::{LinkVersions, Replies},
    tally::Tally,
};
use crate::{
    config::SwitchConfig,
    gate::{Access, Gate},
    member::MemberKey,
};

#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: DocId,
    /// Its place in the order of first presentation.
    pub(super) order: u64,
    /// Stands for members that have not presented it.
    first: Arc<DocEntry>,
    /// The member that pushed last (serialized).
    pub(super) pusher: Option<MemberKey>,
    /// It may have stayed unequal: it is looked at again.
    pub(super) is_unsettled: bool,
    /// Holders of several documents of this id were settled as one group: each is looked at again (serialized).
    pub(super) is_mixed: bool,
    /// How often it was looked at since an offer was delivered or there was a new holder (serialized).
    pub(super) attempts: u32,
    /// In the order of establishment.
    pub(super) records: Vec<Record>,
    /// What it adds to the counts of the switch, as of the last event.
    pub(super) counted: Tally,
}

/// What one member has to do with one document, in this session.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) member: MemberRef,
    /// Its own entry: it is a holder.
    pub(super) entry: Option<Arc<DocEntry>>,
    /// The entries that it was shown: one of each variant.
    pub(super) told: Vec<Arc<DocEntry>>,
    /// The document was presented to it, and has not been dismissed since (links).
    pub(super) is_shown: bool,
    /// Its offers count, and it is asked for them.
    may_write: bool,
    /// It has sent an interest, or, unless serialized, an offer.
    pub(super) wants: bool,
    /// It has sent an interest or an offer: a holder whose schema is not known yet sends none.
    pub(super) is_live: bool,
    /// Holders that it was told of and has not asked since.
    pub(super) unasked: Vec<MemberKey>,
    /// It was told of one holder although there were others: it has closed the document before.
    pub(super) is_told_partly: bool,
    /// Its last interest did not reach all holders: it is forwarded to all of them later.
    pub(super) asks_the_rest: bool,
    /// The version in its last interest (concurrent, snapshot).
    pub(super) version: Option<Version>,
    /// Interests that were forwarded to it and not answered (concurrent, snapshot).
    pub(super) asks: VecDeque<Ask>,
    /// Which ask its answers belong to is not certain. Later it is asked once more for all members.
    pub(super) is_uncertain: bool,
    /// More asks than are kept were open, or its answers were uncertain: they go to all that want the document.
    pub(super) answers_all: bool,
    /// Members whose interest, which asks for one in turn, was forwarded to it (concurrent).
    pub(super) owed: VecDeque<MemberKey>,
    /// What it was sent and has not answered, and the version that follows from it (serialized).
    pub(super) replies: Replies,
    /// What it was shown is another document of this id: it does not answer that (serialized).
    pub(super) is_told_of_another: bool,
    /// What a link asked for and was asked for (serialized).
    pub(super) versions: LinkVersions,
}

/// An interest that was forwarded to a holder.
#[derive(Debug)]
pub(super) enum Ask {
    /// The switch has asked: the answer is for all.
    All,
    /// A member has asked: the answer is for it.
    Member(MemberKey, Interest),
}

impl Record {
    pub(super) fn new(member: MemberRef, may_write: bool) -> Self {
        Self {
            member,
            may_write,
            entry: None,
            told: Vec::new(),
            is_shown: false,
            wants: false,
            is_live: false,
            unasked: Vec::new(),
            is_told_partly: false,
            asks_the_rest: false,
            version: None,
            asks: VecDeque::new(),
            is_uncertain: false,
            answers_all: false,
            owed: VecDeque::new(),
            replies: Replies::default(),
            is_told_of_another: false,
            versions: LinkVersions::default(),
        }
    }

    pub(super) const fn key(&self) -> MemberKey {
        self.member.key
    }

    pub(super) const fn may_write(&self) -> bool {
        self.may_write
    }

    /// True when it can be asked for the document.
    pub(super) const fn is_source(&self) -> bool {
        self.entry.is_some() && self.may_write
    }

    /// How much is remembered until it is answered.
    pub(super) fn open(&self) -> usize {
        self.asks.len() + self.owed.len() + self.replies.open()
    }

    /// True unless both are links, or hold different documents of one id. A member without an entry takes
    /// either.
    pub(super) fn passes(&self, other: &Self, config: &SwitchConfig) -> bool {
        self.member.order != other.member.order
            && !config.keeps_apart(self.member.link, other.member.link)
            && is_one(self.entry.as_ref(), other.entry.as_ref(), config)
    }

    /// Notes what its next answer is for. Beyond `limit` its answers go to all.
    pub(super) fn expect_answer(&mut self, ask: Ask, limit: usize) {
        if self.answers_all {
            return;
        }
        if self.asks.len() < limit {
            self.asks.push_back(ask);
        } else {
            self.answer_all();
        }
    }

    /// From now on its answers go to all that want the document.
    pub(super) fn answer_all(&mut self) {
        self.answers_all = true;
        self.is_uncertain = false;
        self.asks.clear();
    }

    pub(super) fn is_told_of(&mut self, holder: MemberKey) {
        if !self.unasked.contains(&holder) {
            self.unasked.push(holder);
        }
    }
}

/// Whether two entries, as far as there are any, are of one document.
pub(super) fn is_one(
    a: Option<&Arc<DocEntry>>,
    b: Option<&Arc<DocEntry>>,
    config: &SwitchConfig,
) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || config.mismatch(a, b).is_none(),
        _ => true,
    }
}

impl Document {
    pub(super) fn new(order: u64, first: Arc<DocEntry>) -> Self {
        Self {
            id: first.doc.clone(),
            order,
            first,
            pusher: None,
            is_unsettled: false,
            is_mixed: false,
            attempts: 0,
            records: Vec::new(),
            counted: Tally::default(),
        }
    }

    fn place(&self, member: MemberRef) -> Result<usize, usize> {
        self.records
            .binary_search_by_key(&member.order, |record| record.member.order)
    }

    pub(super) fn find(&self, member: MemberRef) -> Option<usize> {
        self.place(member).ok()
    }

    /// The record of a member by its key alone: few documents have many members.
    pub(super) fn by_key(&self, key: MemberKey) -> Option<usize> {
        self.records.iter().position(|record| record.key() == key)
    }

    /// The place of the member's record, which is made if there is none; `None` when it may not see the
    /// document.
    pub(super) fn record(&mut self, member: &mut Member, gate: &Gate) -> Option<usize> {
        match self.find(member.reference) {
            Some(at) => Some(at),
            None => self.add(member, gate.access(&member.facts, &self.id)),
        }
    }

    /// Makes the record of a member that has none.
    pub(super) fn add(&mut self, member: &mut Member, access: Access) -> Option<usize> {
        let at = self.place(member.reference).unwrap_or_else(|at| at);
        let may_write = match access {
            Access::None => return None,
            Access::Read => false,
            Access::Write => true,
        };
        let mut record = Record::new(member.reference, may_write);
        let stale = member.stale_answers.get(&self.id).copied();
        record.replies.has_stale(stale.unwrap_or(0));
        record.is_uncertain = member.is_uncertain_of(&self.id);
        self.records.insert(at, record);
        member.listed.insert(self.order);
        Some(at)
    }

    pub(super) fn put(&mut self, record: Record) {
        if let Err(at) = self.place(record.member) {
            self.records.insert(at, record);
        }
    }

    pub(super) fn remove(&mut self, member: MemberRef) -> Option<Record> {
        Some(self.records.remove(self.find(member)?))
    }

    /// The class that counts for a member: of its own entry, else of the first one.
    pub(super) fn class(&self, record: &Record) -> Class {
        Class::of(record.entry.as_ref().unwrap_or(&self.first))
    }

    pub(super) fn class_at(&self, at: usize) -> Option<Class> {
        self.records.get(at).map(|record| self.class(record))
    }

    pub(super) fn has_holders(&self) -> bool {
        self.records.iter().any(|record| record.entry.is_some())
    }

    /// The same entry is kept once.
    pub(super) fn shared(&self, entry: DocEntry) -> Arc<DocEntry> {
        let known = self
            .records
            .iter()
            .filter_map(|record| record.entry.as_ref());
        match known.chain([&self.first]).find(|known| ***known == entry) {
            Some(known) => known.clone(),
            None => Arc::new(entry),
        }
    }

    /// The records to which messages of the one at `at` may pass and which can be asked, in order.
    pub(super) fn sources<'a>(
        &'a self,
        at: usize,
        config: &'a SwitchConfig,
    ) -> impl Iterator<Item = usize> + 'a {
        let asker = self.records.get(at);
        let records = self.records.iter().enumerate();
        records
            .filter(move |(_, record)| {
                record.is_source() && asker.is_some_and(|asker| asker.passes(record, config))
            })
            .map(|(at, _)| at)
    }

    /// The members to which messages of this one may pass, in order.
    pub(super) fn others<'a>(
        &'a self,
        record: &'a Record,
        config: &'a SwitchConfig,
    ) -> impl Iterator<Item = &'a Record> {
        self.records
            .iter()
            .filter(move |other| record.passes(other, config))
    }
}
