//! Documents that a member presents.
//!
//! In: entries. Out: one `present` for each other member that is told of them; reports of what keeps two
//! documents of one id apart. Touches nothing.

use std::sync::Arc;

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId};

use super::{
    Switch, Turn,
    document::{Document, is_one},
    entry::Class,
    members::{Member, MemberRef},
    report,
};
use crate::{
    config::SwitchConfig,
    effect::{Diagnostic, Effect},
    gate::Access,
    member::{MemberKey, MemberMap},
};

/// The most variants of a document that are remembered of what one member was shown.
pub(super) const MAX_TOLD: usize = 64;

impl Switch {
    pub(super) fn present(
        &mut self,
        sender: MemberRef,
        entries: Vec<DocEntry>,
        out: &mut Vec<Effect>,
    ) {
        let mut shown = Shown::default();
        let mut to_settle: Vec<DocId> = Vec::new();
        for entry in entries {
            let id = entry.doc.clone();
            let class = self.present_one(sender, entry, &mut shown, out);
            if let Some(doc) = self.documents.get_mut(&id) {
                self.kept.count(doc);
            }
            if class == Some(Class::Serialized) {
                to_settle.push(id);
            }
        }
        for (to, entries) in shown.presents {
            out.push(Effect::send(to, ChannelMsg::Present(entries)));
        }
        for id in to_settle {
            if let Some(doc) = self.documents.get_mut(&id) {
                let mut turn = Turn {
                    config: &self.config,
                    unsettled: &mut self.unsettled,
                    out,
                };
                turn.settle(doc);
                self.kept.count(doc);
            }
        }
    }

    /// One entry; the class of a document that has a new holder by it.
    fn present_one(
        &mut self,
        sender: MemberRef,
        entry: DocEntry,
        shown: &mut Shown,
        out: &mut Vec<Effect>,
    ) -> Option<Class> {
        let config = &self.config;
        let member = self.members.get_mut(&sender.key)?;
        let id = entry.doc.clone();
        let known = self.documents.get_mut(&id);
        if let Some(doc) = known
            && let Some(at) = doc.find(sender)
            && let Some(record) = doc.records.get_mut(at)
            && let Some(before) = &record.entry
        {
            if config.mismatch(before, &entry).is_none() {
                record.entry = Some(Arc::new(entry));
                return None;
            }
            out.push(report(
                Diagnostic::ChangedEntry,
                sender.key,
                Some(id.clone()),
            ));
            doc.records.remove(at);
            member.listed.remove(&doc.order);
            member.documents -= 1;
        }
        let doc = self.documents.get(&id);
        // A member that was told of the document may see it: the gate was asked then.
        let access = match doc.and_then(|doc| doc.find(sender)) {
            Some(_) => None,
            None => Some(config.gate.access(&member.facts, &id)),
        };
        if access == Some(Access::None) {
            out.push(report(Diagnostic::NotPermitted, sender.key, Some(id)));
            return None;
        }
        if member.documents >= config.max_documents_of_member {
            out.push(report(Diagnostic::MemberDocsLimit, sender.key, Some(id)));
            return None;
        }
        if doc.is_none() {
            if self.documents.len() >= config.max_documents {
                out.push(report(Diagnostic::DocsLimit, sender.key, Some(id)));
                return None;
            }
            self.next += 1;
            self.listed.insert(self.next, id.clone());
            let first = Arc::new(entry.clone());
            self.documents.insert(Document::new(self.next, first));
        }
        member.documents += 1;
        let doc = self.documents.get_mut(&id)?;
        doc.attempts = 0;
        let entry = doc.shared(entry);
        let class = Class::of(&entry);
        let at = match access {
            Some(access) => doc.add(member, access)?,
            None => doc.find(sender)?,
        };
        let record = doc.records.get(at)?;
        let is_another = |told: &Arc<DocEntry>| config.mismatch(told, &entry).is_some();
        let holders = record.unasked.iter();
        let held = holders.filter_map(|&key| doc.records.get(doc.by_key(key)?)?.entry.as_ref());
        // Those that it was told of may be gone.
        let is_told_of_another = [
            held.map(is_another).reduce(|all, one| all && one),
            record
                .told
                .iter()
                .map(is_another)
                .reduce(|all, one| all && one),
        ];
        let record = doc.records.get_mut(at)?;
        record.is_told_of_another = is_told_of_another.contains(&Some(true));
        record.entry = Some(entry.clone());
        if !record.may_write() {
            return Some(class);
        }
        let mut has_others = false;
        for key in self.order.values().filter(|key| **key != sender.key) {
            let other = self.members.get_mut(key);
            let passes =
                |other: &&mut Member| !config.keeps_apart(other.reference.link, sender.link);
            let Some(other) = other.filter(passes) else {
                continue;
            };
            has_others |= tell(doc, other, sender, &entry, config, shown, out).unwrap_or(false);
        }
        if class == Class::Snapshot && has_others && !sender.link {
            let at = doc.find(sender)?;
            let mut turn = Turn {
                config: &self.config,
                unsettled: &mut self.unsettled,
                out,
            };
            turn.ask_for_all(doc, at);
            turn.mark_unsettled(doc);
        }
        self.check_links(&entry.doc);
        Some(class)
    }
}

/// Entries to show, one `present` for each member, in the order in which they come up.
#[derive(Default)]
struct Shown {
    presents: Vec<(MemberKey, Vec<DocEntry>)>,
    places: MemberMap<usize>,
}

impl Shown {
    fn add(&mut self, to: MemberKey, entry: DocEntry) {
        let place = *self.places.entry(to).or_insert(self.presents.len());
        match self.presents.get_mut(place) {
            Some((_, entries)) => entries.push(entry),
            None => self.presents.push((to, vec![entry])),
        }
    }
}

/// Tells another member of a new holder. True when it holds the same document; `None` when it may not see it.
fn tell(
    doc: &mut Document,
    other: &mut Member,
    holder: MemberRef,
    entry: &Arc<DocEntry>,
    config: &SwitchConfig,
    shown: &mut Shown,
    out: &mut Vec<Effect>,
) -> Option<bool> {
    let class = Class::of(entry);
    let id = doc.id.clone();
    let is_new = doc.find(other.reference).is_none();
    let has_more = is_new
        && doc
            .records
            .iter()
            .any(|of| of.is_source() && of.key() != holder.key);
    let at = doc.record(other, &config.gate)?;
    let other = other.reference;
    let record = doc.records.get_mut(at)?;
    record.is_told_partly |= has_more;
    if let Some(own) = &record.entry {
        if let Some(mismatch) = config.mismatch(entry, own) {
            out.push(report(mismatch, holder.key, Some(id)));
            return Some(false);
        }
        // A link asks for nothing by itself: each holder here asks it. One that may not write was not shown to
        // the new holder, which would have asked it.
        if (holder.link || !record.may_write()) && class != Class::Serialized {
            record.is_told_of(holder.key);
            record.is_shown = true;
            shown.add(other.key, config.shown(entry, other.wire));
        }
        return Some(true);
    }
    record.is_told_of(holder.key);
    let is_told = |told: &Arc<DocEntry>| is_one(Some(told), Some(entry), config);
    // Where replies are counted a variant is shown once. Else what is not the first is shown each time.
    let counted = if class == Class::Serialized {
        usize::MAX
    } else {
        1
    };
    if !record.told.iter().take(counted).any(is_told) {
        if !record.told.iter().any(is_told) && record.told.len() < MAX_TOLD {
            record.told.push(entry.clone());
        }
        record.is_shown = true;
        shown.add(other.key, config.shown(entry, other.wire));
        if class == Class::Serialized && !other.link {
            record.replies.expect_interest();
        }
    }
    Some(false)
}
