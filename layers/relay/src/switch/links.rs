//! Links between hubs: what is presented over them, and taken back.
//!
//! In: a document that has got a holder or lost one. Out: one `present` over each link that has none of this side's;
//! a `dismiss` when no member of this side is left; interests in serialized documents. Touches nothing.
//!
//! A member that presents a document is not told to those that hold it: they know of it, or ask by themselves. A link
//! does neither. Its other side drops offers of a document that was not presented to it, and asks for nothing.

use std::sync::Arc;

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Interest, Version};

use super::{
    Switch, Turn,
    document::{Document, Record, is_one},
    present::MAX_TOLD,
    replies::remember,
    since,
};
use crate::config::SwitchConfig;

impl Switch {
    /// Notes whether there is something to say of the document over a link.
    pub(super) fn check_links(&mut self, id: &DocId) {
        let Some(doc) = self.documents.get(id) else {
            return;
        };
        let mut links = doc.records.iter().filter(|record| record.member.link);
        if links.any(|link| doc.change(link, &self.config).is_some()) {
            self.pending.add(doc);
        }
    }
}

/// What is to be said over one link.
enum Change {
    Present(Vec<Arc<DocEntry>>),
    Dismiss,
}

impl Record {
    /// True for a link that was shown the document.
    pub(super) const fn is_link_shown(&self) -> bool {
        self.member.link && self.is_shown
    }

    /// A link may ask for several members: each version counts until it is forwarded to all holders.
    pub(super) fn note_version(&mut self, interest: &Interest, limit: usize) {
        self.version = interest.version.clone();
        if !self.member.link {
            return;
        }
        let wanted = &mut self.versions.wanted;
        if wanted.len() >= limit && !wanted.contains(&interest.version) {
            // All there is, instead of what came since each of them.
            *wanted = vec![None];
        }
        remember(wanted, interest.version.clone(), limit);
    }

    /// The versions for which a holder is asked on behalf of this member.
    pub(super) fn asked_versions(&self) -> Vec<Option<Version>> {
        if self.member.link && !self.versions.wanted.is_empty() {
            self.versions.wanted.clone()
        } else {
            vec![self.version.clone()]
        }
    }
}

impl Document {
    /// The other side of a link has dismissed the document, and still knows that it is here. False if it was not
    /// told so.
    pub(super) fn keep_link(&mut self, gone: &Record) -> bool {
        if gone.is_link_shown() {
            let mut record = Record::new(gone.member, gone.may_write());
            record.is_shown = true;
            self.put(record);
        }
        gone.is_link_shown()
    }

    fn change(&self, link: &Record, config: &SwitchConfig) -> Option<Change> {
        let others = || self.others(link, config);
        if link.is_shown {
            let is_needed = others().any(|other| other.is_source() || other.wants);
            return (!is_needed).then_some(Change::Dismiss);
        }
        let sources = others().filter(|other| other.is_source());
        let mut entries: Vec<Arc<DocEntry>> = Vec::new();
        for entry in sources.filter_map(|source| source.entry.as_ref()) {
            let is_known = |known: &Arc<DocEntry>| is_one(Some(known), Some(entry), config);
            if !entries.iter().any(is_known) {
                entries.push(entry.clone());
            }
        }
        (!entries.is_empty()).then_some(Change::Present(entries))
    }
}

impl Turn<'_> {
    pub(super) fn tell_links(&mut self, doc: &mut Document) {
        for at in 0..doc.records.len() {
            let link = doc.records.get(at).filter(|record| record.member.link);
            let Some(change) = link.and_then(|link| doc.change(link, self.config)) else {
                continue;
            };
            let Some(link) = doc.records.get_mut(at) else {
                break;
            };
            let (key, wire) = (link.key(), link.member.wire);
            match change {
                Change::Present(entries) => {
                    let shown = entries.iter().map(|entry| self.config.shown(entry, wire));
                    let shown = ChannelMsg::Present(shown.collect());
                    link.is_shown = true;
                    link.told = entries.into_iter().take(MAX_TOLD).collect();
                    self.send(key, shown);
                }
                Change::Dismiss => {
                    link.is_shown = false;
                    link.told.clear();
                    // The other side forgets what it was asked for.
                    link.versions.asked.clear();
                    self.send(key, ChannelMsg::Dismiss(doc.id.clone()));
                }
            }
        }
    }

    /// Each link is asked once for each version that is here, or that another link has asked for.
    pub(super) fn ask_links(&mut self, doc: &mut Document, links: &[usize], group: &[usize]) {
        let limit = self.config.max_link_versions;
        for &link in links {
            if doc
                .records
                .get(link)
                .is_none_or(|record| record.entry.is_none())
            {
                continue;
            }
            for &other in group {
                if !self.passes(doc, link, other) {
                    continue;
                }
                let versions = match doc.records.get(other) {
                    Some(other) if other.member.link => other.versions.wanted.clone(),
                    Some(other) => other.replies.at.iter().cloned().map(Some).collect(),
                    None => Vec::new(),
                };
                for version in versions {
                    let Some(record) = doc.records.get_mut(link) else {
                        break;
                    };
                    if !record.versions.asked.contains(&version) {
                        remember(&mut record.versions.asked, version.clone(), limit);
                        let key = record.key();
                        self.send(key, since(doc, version));
                    }
                }
            }
        }
    }
}
