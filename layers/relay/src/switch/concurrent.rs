//! Documents whose offers may be read in any order: concurrent ones, and snapshots.
//!
//! In: interests, offers, a holder that leaves. Out: interests to holders, and their answers to the member
//! that asked; pushes to all that want the document.

use kyneta_uds_core::{Interest, Offer};

use super::{
    Turn,
    document::{Ask, Document, Record},
    entry::Class,
    since,
};
use crate::{effect::Effect, member::MemberKey};

impl Turn<'_> {
    /// An interest goes to the holders that may know more: one that is owed it, else those that its sender
    /// was told of and has not asked, else all.
    pub(super) fn interest(
        &mut self,
        doc: &mut Document,
        at: usize,
        class: Class,
        interest: Interest,
    ) {
        self.begin(doc, at);
        let in_turn = interest.reciprocate != Some(true) && class == Class::Concurrent;
        let owed = if in_turn {
            self.next_owed(doc, at)
        } else {
            None
        };
        let targets = match owed {
            Some(owed) => vec![owed],
            None => {
                self.note_the_rest(doc, at);
                self.holders_to_ask(doc, at)
            }
        };
        let asks_all = targets.len() == doc.sources(at, self.config).count();
        let limit = self.config.max_link_versions;
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        // A member that may not write is not asked in turn.
        let asker = record.key();
        let interest = if record.may_write() {
            interest
        } else {
            interest.reciprocate(false)
        };
        record.note_version(&interest, limit);
        if record.member.link && !asks_all {
            // It may speak for another member behind it than the one that was told or asked.
            record.asks_the_rest = true;
            self.mark_unsettled(doc);
        }
        for &target in &targets {
            self.forward(doc, target, asker, class, interest.clone());
        }
        if targets.is_empty() && !self.is_wanted_by_another(doc, at) {
            self.vacant(doc, at);
        }
    }

    /// The member's first sign of life. A holder that was asked before, and is not live, does not answer that.
    /// One that is slow does: which interest its answers belong to is not known any more.
    fn begin(&mut self, doc: &mut Document, at: usize) {
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        record.wants = true;
        if std::mem::replace(&mut record.is_live, true) || record.asks.is_empty() {
            return;
        }
        record.asks.retain(|ask| matches!(ask, Ask::All));
        record.is_uncertain = true;
        self.mark_unsettled(doc);
    }

    /// The holders that the member was not told of are asked later, if it asks for the document at all.
    fn note_the_rest(&mut self, doc: &mut Document, at: usize) {
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        if std::mem::take(&mut record.is_told_partly) && !record.unasked.is_empty() {
            record.asks_the_rest = true;
            self.mark_unsettled(doc);
        }
    }

    /// The last interests of members that did not reach all holders go to all of them.
    pub(super) fn ask_the_rest(&mut self, doc: &mut Document) {
        for at in 0..doc.records.len() {
            let Some(record) = doc.records.get_mut(at) else {
                break;
            };
            if !std::mem::take(&mut record.asks_the_rest) {
                continue;
            }
            let asker = record.key();
            let is_asked = record.may_write() && !record.member.link;
            let versions = record.asked_versions();
            record.versions.wanted.clear();
            let Some(class) = doc.class_at(at) else {
                break;
            };
            let in_turn = is_asked && class == Class::Concurrent;
            let holders: Vec<_> = doc.sources(at, self.config).collect();
            for version in versions {
                let interest = since(doc, version).reciprocate(in_turn);
                for &holder in &holders {
                    self.forward(doc, holder, asker, class, interest.clone());
                }
            }
        }
    }

    /// A holder whose answers are uncertain is asked once more for each member that wants the document. From now
    /// on its answers go to all of them, whichever ask they belong to.
    pub(super) fn ask_uncertain(&mut self, doc: &mut Document) {
        for at in 0..doc.records.len() {
            let Some(holder) = doc.records.get_mut(at).filter(|of| of.is_uncertain) else {
                continue;
            };
            if !holder.is_source() {
                continue;
            }
            holder.answer_all();
            // What it was asked in vain it would have asked in turn.
            holder.asks_the_rest = holder.wants;
            let Some(holder) = doc.records.get(at) else {
                break;
            };
            let mut versions = Vec::new();
            for other in doc.others(holder, self.config).filter(|other| other.wants) {
                for version in other.asked_versions() {
                    if !versions.contains(&version) {
                        versions.push(version);
                    }
                }
            }
            let key = holder.key();
            for version in versions {
                self.send(key, since(doc, version));
            }
        }
    }

    /// The first member that is owed an interest of this one, and is there.
    fn next_owed(&self, doc: &mut Document, at: usize) -> Option<usize> {
        loop {
            let owed = doc.records.get_mut(at)?.owed.pop_front()?;
            let target = doc.by_key(owed);
            let passes = |&target: &usize| {
                let target_record = doc.records.get(target);
                target_record.is_some_and(Record::may_write) && self.passes(doc, at, target)
            };
            if let Some(target) = target.filter(passes) {
                return Some(target);
            }
        }
    }

    /// Holders that the member was told of and has not asked since; all, if there are none.
    fn holders_to_ask(&self, doc: &mut Document, at: usize) -> Vec<usize> {
        let Some(record) = doc.records.get_mut(at) else {
            return Vec::new();
        };
        let unasked = std::mem::take(&mut record.unasked);
        let all: Vec<_> = doc.sources(at, self.config).collect();
        let told = unasked.iter().filter_map(|&key| doc.by_key(key));
        let told: Vec<_> = told.filter(|target| all.contains(target)).collect();
        if told.is_empty() { all } else { told }
    }

    fn forward(
        &mut self,
        doc: &mut Document,
        target: usize,
        asker: MemberKey,
        class: Class,
        interest: Interest,
    ) {
        let limit = self.config.max_asks;
        let Some(holder) = doc.records.get_mut(target) else {
            return;
        };
        self.send(holder.key(), interest.clone());
        if interest.reciprocate == Some(true) && class == Class::Concurrent {
            if holder.owed.len() >= limit {
                holder.owed.clear();
            } else {
                holder.owed.push_back(asker);
            }
        }
        holder.expect_answer(Ask::Member(asker, interest), limit);
        // The other side of a link may answer once for each holder there, or not at all.
        holder.is_uncertain |= holder.member.link && !holder.answers_all;
        if holder.is_uncertain {
            self.mark_unsettled(doc);
        }
    }

    /// A push goes to all that want the document, an answer to the member that asked.
    /// True if it has answered a question.
    pub(super) fn offer(&mut self, doc: &mut Document, at: usize, offer: Offer) -> bool {
        let Some(record) = doc.records.get_mut(at) else {
            return false;
        };
        let wanted_before = std::mem::replace(&mut record.wants, true);
        record.is_live = true;
        let is_answer = offer.reciprocate.is_some();
        let ask = is_answer.then(|| record.asks.pop_front()).flatten();
        if !wanted_before && doc.class_at(at) == Some(Class::Snapshot) {
            // What the others hold may have passed before.
            self.mark_unsettled(doc);
        }
        let is_answered = ask.is_some();
        match ask {
            Some(Ask::Member(asker, _)) => {
                let target = doc.by_key(asker).and_then(|target| doc.records.get(target));
                let from = doc.records.get(at);
                if let (Some(target), Some(from)) = (target, from)
                    && target.wants
                    && from.passes(target, self.config)
                {
                    self.send(asker, offer);
                }
            }
            Some(Ask::All) | None => self.offer_to_all(doc, at, offer),
        }
        is_answered
    }

    fn offer_to_all(&mut self, doc: &Document, at: usize, offer: Offer) {
        let Some(from) = doc.records.get(at) else {
            return;
        };
        let wanting = doc.others(from, self.config).filter(|other| other.wants);
        let mut wanting = wanting.map(Record::key).peekable();
        while let Some(to) = wanting.next() {
            if wanting.peek().is_none() {
                self.out.push(Effect::send(to, offer.into()));
                return;
            }
            self.out.push(Effect::send(to, offer.clone().into()));
        }
    }

    /// Asks a holder of a snapshot for all that want it.
    pub(super) fn ask_for_all(&mut self, doc: &mut Document, at: usize) {
        let interest = Interest::new(doc.id.clone()).reciprocate(false);
        let Some(holder) = doc.records.get_mut(at) else {
            return;
        };
        self.send(holder.key(), interest);
        holder.expect_answer(Ask::All, self.config.max_asks);
    }

    /// Every holder of a snapshot says once more what it has.
    pub(super) fn reconcile_snapshots(&mut self, doc: &mut Document) {
        for at in 0..doc.records.len() {
            let holder = doc.records.get(at).filter(|record| record.is_source());
            let is_one = holder.is_some_and(|record| !record.member.link && record.is_live);
            if is_one && doc.class_at(at) == Some(Class::Snapshot) {
                self.ask_for_all(doc, at);
            }
        }
    }

    /// A holder is gone: the members that wait for its answer ask the remaining ones.
    pub(super) fn ask_again(&mut self, doc: &mut Document, gone: Record) {
        let class = doc.class(&gone);
        if gone.is_uncertain {
            // What it has answered may have gone to others than had asked.
            for record in doc.records.iter_mut().filter(|record| record.wants) {
                record.asks_the_rest = true;
            }
            self.mark_unsettled(doc);
        }
        let mut waiting: Vec<(MemberKey, Interest)> = Vec::new();
        for ask in gone.asks {
            let Ask::Member(asker, interest) = ask else {
                continue;
            };
            match waiting.iter_mut().find(|(known, _)| *known == asker) {
                Some((_, last)) => *last = interest,
                None => waiting.push((asker, interest)),
            }
        }
        for (asker, interest) in waiting {
            // A link that has dismissed the document since has a record still.
            let is_there = |at: &usize| {
                let asker = doc.records.get(*at);
                asker.is_some_and(|asker| asker.wants || !asker.member.link)
            };
            let Some(at) = doc.by_key(asker).filter(is_there) else {
                continue;
            };
            let holders: Vec<_> = doc.sources(at, self.config).collect();
            let interest = interest.reciprocate(false);
            for &holder in &holders {
                // The asker may have dismissed the document since, and be told of one of another class under this name: to
                // that the version says nothing.
                if interest.version.is_none() || doc.class_at(holder) == Some(class) {
                    self.forward(doc, holder, asker, class, interest.clone());
                }
            }
            if holders.is_empty() && !self.is_wanted_by_another(doc, at) {
                self.vacant(doc, at);
            }
        }
    }
}
