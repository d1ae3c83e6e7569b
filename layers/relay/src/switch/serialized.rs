//! Documents with one writer at a time: a delta is delivered on exactly the version that it starts from.
//!
//! In: interests, offers, whatever else has changed. Out: offers to the members that are at their base;
//! interests that make a holder send what others lack, each with a fence.
//!
//! The switch knows the version of each member from what the member was sent and has answered. A *fence* is a
//! `present`, which a holder answers with an interest that names its version. So a fence after a message
//! shows that the message was read, whether or not it has an answer of its own.

use kyneta_uds_core::{Interest, Offer, Version};

use super::{
    Turn,
    document::{Document, Record, is_one},
    entry::Class,
    fences::Fences,
    replies::{Base, Expected, forget, remember},
    since,
};
use crate::effect::Diagnostic;

/// How often the members of a document are asked again before that is reported and left.
const MAX_ATTEMPTS: u32 = 8;

impl Turn<'_> {
    pub(super) fn serialized_interest(
        &mut self,
        doc: &mut Document,
        at: usize,
        interest: Interest,
    ) {
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        record.wants = true;
        let link = record.member.link;
        if link {
            let limit = self.config.max_link_versions;
            remember(&mut record.versions.wanted, interest.version, limit);
        } else {
            let version = interest.version.unwrap_or_default();
            if record.is_live {
                record.replies.interest(version);
            } else {
                record.replies.begin(version);
            }
        }
        record.is_live = true;
        self.settle(doc);
        let has_holder = |at: usize| {
            let record = doc.records.get(at);
            record.is_some_and(|record| {
                doc.others(record, self.config)
                    .any(|other| other.entry.is_some())
            })
        };
        if !link
            && !has_holder(at)
            && !self.is_wanted_by_another(doc, at)
            && self.vacant(doc, at)
            && let Some(record) = doc.records.get_mut(at)
        {
            // A `vacant` ends its pushes.
            record.replies.is_asked = false;
        }
    }

    pub(super) fn serialized_offer(
        &mut self,
        doc: &mut Document,
        at: usize,
        offer: Offer,
        linked_base: Option<Version>,
    ) {
        let base = self.base(doc, at, &offer, linked_base);
        self.deliver(doc, at, offer, &base);
        self.settle(doc);
    }

    /// The version that the payload starts from; `None` when it is not known. Takes note of the sender's
    /// own version.
    fn base(
        &mut self,
        doc: &mut Document,
        at: usize,
        offer: &Offer,
        linked_base: Option<Version>,
    ) -> Base {
        let pusher = doc.pusher;
        let id = doc.id.clone();
        let record = doc.records.get_mut(at)?;
        record.is_live = true;
        if record.member.link {
            record.versions.asked.clear();
            return linked_base.map(Some);
        }
        let key = record.key();
        let replies = &mut record.replies;
        if offer.reciprocate.is_some() {
            let Some((since, is_own)) = replies.answered() else {
                if replies.doubt(&offer.version) {
                    self.mark_unsettled(doc);
                }
                self.report(Diagnostic::AnswerWithoutAsk, key, Some(&id));
                return None;
            };
            if is_own {
                replies.set(Some(offer.version.clone()));
            }
            return since;
        }
        doc.pusher = Some(key);
        if pusher.is_some_and(|pusher| pusher != key) {
            // What it has read of the former writer's edits is not known.
            replies.at = None;
            return None;
        }
        let base = replies.certain().cloned().map(Some);
        replies.set(Some(offer.version.clone()));
        base
    }

    /// To each member that wants it and is at the base.
    fn deliver(&mut self, doc: &mut Document, at: usize, offer: Offer, base: &Base) {
        let Some(base) = base else { return };
        let is_answer = offer.reciprocate.is_some();
        let version = offer.version.clone();
        for target in 0..doc.records.len() {
            let passes = self.passes(doc, at, target);
            let Some(record) = doc.records.get_mut(target).filter(|to| passes && to.wants) else {
                continue;
            };
            let key = record.key();
            if record.member.link {
                let wanted = forget(&mut record.versions.wanted, base);
                if !is_answer {
                    // The other side moves on from there.
                    forget(&mut record.versions.asked, base);
                }
                if wanted || !is_answer {
                    let base = base.clone().map(Box::new);
                    let offer = offer.clone();
                    self.send(key, Offer { base, ..offer });
                }
            } else if let Some(at) = record.replies.certain()
                && Some(at) == base.as_ref()
                && *at != version
            {
                record.replies.deliver(&version);
                self.send(key, offer.clone());
                doc.attempts = 0;
            }
        }
    }

    /// Asks for what is missing, until nothing is. Called after each event; without news it does nothing.
    pub(super) fn settle(&mut self, doc: &mut Document) {
        if self.settle_from(doc, 0..doc.records.len()) {
            self.mark_mixed(doc);
        }
    }

    /// As `settle`, where a member that holds none stood between holders of several documents of this id, and so
    /// made one group of them.
    pub(super) fn settle_apart(&mut self, doc: &mut Document) {
        let holds = |at: &usize| doc.records.get(*at).is_some_and(|r| r.entry.is_some());
        let (holders, others): (Vec<_>, Vec<_>) = (0..doc.records.len()).partition(holds);
        self.settle_from(doc, holders.into_iter().chain(others));
    }

    /// Settles the group of each of these members in turn. True if a group had holders of several documents.
    fn settle_from(&mut self, doc: &mut Document, seeds: impl Iterator<Item = usize>) -> bool {
        // Few documents have more than one variant: then all members are one group.
        let mut grouped = vec![false; doc.records.len()];
        let (mut is_mixed, mut has_group) = (false, false);
        for first in seeds {
            let Some(record) = doc.records.get(first) else {
                break;
            };
            let is_done = grouped.get(first).copied().unwrap_or(true);
            if is_done || record.member.link || doc.class(record) != Class::Serialized {
                continue;
            }
            has_group = true;
            let is_free = |at: &usize| !grouped.get(*at).copied().unwrap_or(true);
            let belongs = |at: &usize| *at == first || self.passes(doc, first, *at);
            let group: Vec<_> = (0..doc.records.len())
                .filter(is_free)
                .filter(belongs)
                .collect();
            if record.entry.is_none() {
                let entries = group
                    .iter()
                    .filter_map(|at| doc.records.get(*at)?.entry.as_ref());
                let mut entries = entries.peekable();
                let one = entries.peek().copied();
                is_mixed |= entries.any(|entry| !is_one(one, Some(entry), self.config));
            }
            for &at in &group {
                let link = doc.records.get(at).is_some_and(|record| record.member.link);
                if let Some(done) = grouped.get_mut(at) {
                    *done = !link;
                }
            }
            self.settle_group(doc, &group);
        }
        if !has_group && self.config.links_relay {
            // There are links alone: they ask each other.
            let is_one = |at: &usize| doc.class_at(*at) == Some(Class::Serialized);
            let links: Vec<_> = (0..doc.records.len()).filter(is_one).collect();
            self.ask_links(doc, &links, &links);
        }
        is_mixed
    }

    fn settle_group(&mut self, doc: &mut Document, group: &[usize]) {
        let link = |at: usize| doc.records.get(at).is_some_and(|record| record.member.link);
        let (links, locals): (Vec<_>, Vec<_>) = group.iter().partition(|at| link(**at));
        let holds = |at: &usize| {
            doc.records
                .get(*at)
                .is_some_and(|record| record.entry.is_some())
        };
        let holders: Vec<usize> = locals.iter().copied().filter(holds).collect();
        let mut fences = Vec::new();

        self.find_out_versions(doc, &holders, &mut fences);
        self.ask_the_authority(doc, group, &holders, &mut fences);
        self.ask_each_once(doc, group, &holders, &mut fences);
        self.send_fences(fences);
        self.ask_links(doc, &links, group);
    }

    /// A holder whose version is not known is sent a fence.
    fn find_out_versions(&mut self, doc: &mut Document, holders: &[usize], fences: &mut Fences) {
        for &holder in holders {
            let Some(record) = doc.records.get(holder).filter(|r| r.replies.at.is_none()) else {
                continue;
            };
            if !record.replies.has_open_fence() {
                self.fence(doc, holder, None, fences);
            } else if record.is_told_of_another {
                self.mark_unsettled(doc);
            }
        }
    }

    /// The member that pushed last, else the first whose version is known, is asked for what those at other
    /// versions lack. Where it had nothing to say, one of them is asked for what it lacks itself.
    fn ask_the_authority(
        &mut self,
        doc: &mut Document,
        group: &[usize],
        holders: &[usize],
        fences: &mut Fences,
    ) {
        let at = |at: usize| doc.records.get(at)?.replies.at.clone();
        let is_pusher = |holder: &usize| doc.records.get(*holder).map(|r| r.key()) == doc.pusher;
        // A member that may not write has no say, either.
        let mut known = holders.iter().copied().filter(|holder| {
            let record = doc.records.get(*holder);
            record.is_some_and(|of| of.is_source() && of.replies.at.is_some())
        });
        let pusher = known.clone().find(is_pusher);
        let Some(authority) = pusher.or_else(|| known.next()) else {
            return;
        };
        let Some(newest) = at(authority) else { return };

        let can_be_asked = |at: usize| {
            let record = doc.records.get(at);
            record.is_some_and(|record| !record.member.link && record.is_source())
        };
        let mut seen = vec![Some(newest.clone())];
        let mut lacking = Vec::new();
        for &member in group.iter().filter(|member| **member != authority) {
            let Some(record) = doc.records.get(member) else {
                continue;
            };
            // While there is a doubt about its version nothing is delivered to it.
            let own = record.replies.certain().filter(|_| record.wants);
            let versions: Vec<Option<Version>> = if record.member.link {
                record.versions.wanted.clone()
            } else {
                own.map(|version| Some(version.clone()))
                    .into_iter()
                    .collect()
            };
            for version in versions {
                if !seen.contains(&version) {
                    seen.push(version.clone());
                    lacking.push((member, version));
                } else if let Some((first, _)) = lacking.iter_mut().find(|(_, of)| *of == version)
                    && !can_be_asked(*first)
                    && can_be_asked(member)
                {
                    *first = member;
                }
            }
        }
        for (member, version) in lacking {
            let replies = |at: usize| doc.records.get(at).map(|record| &record.replies);
            let Some(of_authority) = replies(authority) else {
                continue;
            };
            if !of_authority.vain.contains(&version) {
                if !of_authority.has_open_ask() {
                    let was_asked = of_authority.is_asked;
                    self.ask(doc, authority, version.clone(), fences);
                    if !self.passes(doc, authority, member) {
                        self.asked_for_another(doc, authority, version, was_asked);
                    }
                } else if !of_authority.has_open_fence() {
                    // There was nothing to present: its silence would not be noticed.
                    self.mark_unsettled(doc);
                }
                continue;
            }
            if !self.passes(doc, authority, member) {
                continue;
            }
            let newest = Some(newest.clone());
            let can_say = doc.records.get(member).is_some_and(|record| {
                let replies = &record.replies;
                let is_source = !record.member.link && record.is_source();
                is_source && !replies.vain.contains(&newest) && !replies.has_open_ask()
            });
            if can_say {
                self.ask(doc, member, newest, fences);
            } else if !self.is_asking(doc, [authority, member]) {
                // Both sides have had nothing to say, or have said it before the other's last edit.
                self.mark_unsettled(doc);
            }
        }
    }

    /// A holder was asked with the version of another document of this id. Its answer is not for that one's member, and
    /// would be asked for without end.
    fn asked_for_another(
        &mut self,
        doc: &mut Document,
        at: usize,
        version: Option<Version>,
        was_asked: bool,
    ) {
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        record.replies.is_in_vain(version);
        if !was_asked {
            // That makes it push. It may have edited before, and its silence does not say so.
            record.replies.is_doubtful = true;
            self.mark_unsettled(doc);
        }
    }

    /// True when one of them will answer, or be silent. An ask without a fence may have been answered so already.
    fn is_asking(&self, doc: &Document, members: [usize; 2]) -> bool {
        members.into_iter().any(|at| {
            let replies = doc.records.get(at).map(|record| &record.replies);
            replies.is_some_and(|of| of.has_open_ask() && of.has_open_fence())
        })
    }

    /// Forgets which questions were in vain, and asks them again: a few times, unless something comes of it.
    pub(super) fn reconcile_serialized(&mut self, doc: &mut Document) {
        let is_serialized = |at| doc.class_at(at) == Some(Class::Serialized);
        if !(0..doc.records.len()).any(is_serialized) {
            return;
        }
        if doc.attempts >= MAX_ATTEMPTS {
            let holder = doc.records.iter().find(|record| record.is_source());
            if let Some(key) = holder.map(Record::key) {
                self.report(Diagnostic::StaysUnequal, key, Some(&doc.id));
            }
            return;
        }
        doc.attempts += 1;
        for record in &mut doc.records {
            record.replies.vain.clear();
            if record.replies.is_doubtful {
                record.replies.set(None);
            }
            if std::mem::take(&mut record.is_told_of_another) && record.replies.at.is_none() {
                record.replies.expect_nothing();
            }
        }
        self.fence_open_asks(doc);
        self.settle(doc);
    }

    /// A holder that was never asked does not push: it is asked for its own version.
    fn ask_each_once(
        &mut self,
        doc: &mut Document,
        group: &[usize],
        holders: &[usize],
        fences: &mut Fences,
    ) {
        for &holder in holders {
            let has_company = group
                .iter()
                .filter(|other| **other != holder)
                .any(|&other| {
                    let other = doc.records.get(other);
                    other.is_some_and(|other| other.entry.is_some() || other.wants)
                });
            let holder_record = doc.records.get(holder).filter(|record| record.is_source());
            let Some(replies) = holder_record.map(|record| &record.replies) else {
                continue;
            };
            let own = replies.at.clone().filter(|_| has_company);
            if own.is_none() || replies.is_asked {
                continue;
            }
            if !replies.has_open_ask() {
                self.ask(doc, holder, own, fences);
            } else if !replies.has_open_fence() {
                // It was asked when it was alone, and then told that the document is not here: it does not push.
                self.mark_unsettled(doc);
            }
        }
    }

    fn ask(
        &mut self,
        doc: &mut Document,
        at: usize,
        version: Option<Version>,
        fences: &mut Fences,
    ) {
        let interest = since(doc, version.clone());
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        record.replies.is_asked = true;
        let ask = Expected::Offer {
            since: version,
            deliveries: record.replies.deliveries,
        };
        let key = record.key();
        self.send(key, interest);
        self.fence(doc, at, Some(ask), fences);
    }
}
