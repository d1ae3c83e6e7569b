//! Fences: a `present` that a holder answers with an interest, which names its version (serialized documents).
//!
//! In: holders whose version is to be found out, asks that need one. Out: the fences, after all interests of a turn, and
//! what is expected as their answers. Touches nothing.

use kyneta_uds_core::{ChannelMsg, DocEntry};

use super::{
    Turn,
    document::{Document, Record},
    replies::Expected,
};
use crate::member::MemberKey;

/// Fences follow all interests of a turn.
pub(super) type Fences = Vec<(MemberKey, DocEntry)>;

impl Turn<'_> {
    /// Sends a fence, after an ask if there is one. Where answers too many may come, as many more, of which
    /// only the last one counts. Without another holder there is nothing to present.
    pub(super) fn fence(
        &mut self,
        doc: &mut Document,
        at: usize,
        ask: Option<Expected>,
        fences: &mut Fences,
    ) {
        let holder = doc.records.get(at).and_then(|record| {
            let entry = |other: &Record| other.entry.clone();
            doc.others(record, self.config).find_map(entry)
        });
        let Some(record) = doc.records.get_mut(at) else {
            return;
        };
        let (key, wire) = (record.key(), record.member.wire);
        let replies = &mut record.replies;
        let Some(entry) = holder else {
            ask.into_iter().for_each(|ask| replies.expect(ask));
            return;
        };
        let shown = self.config.shown(&entry, wire);
        let deliveries = replies.deliveries;
        for _ in 0..replies.slack {
            replies.expect(Expected::Interest {
                counts: false,
                deliveries,
            });
            fences.push((key, shown.clone()));
        }
        ask.into_iter().for_each(|ask| replies.expect(ask));
        replies.expect_interest();
        fences.push((key, shown));
    }

    /// An ask that was sent when there was nothing to present gets its fence.
    pub(super) fn fence_open_asks(&mut self, doc: &mut Document) {
        let mut fences = Vec::new();
        for at in 0..doc.records.len() {
            let replies = doc.records.get(at).map(|record| &record.replies);
            if replies.is_some_and(|of| of.has_open_ask() && !of.has_open_fence()) {
                self.fence(doc, at, None, &mut fences);
            }
        }
        self.send_fences(fences);
    }

    /// A member whose answers from a former life of the document may be under way gets one more fence.
    pub(super) fn lengthen_fences(&mut self, doc: &mut Document) {
        for at in 0..doc.records.len() {
            let Some(record) = doc.records.get(at).filter(|of| of.replies.is_short()) else {
                continue;
            };
            let (key, wire) = (record.key(), record.member.wire);
            let entry = |of: &Record| of.entry.clone();
            let another = doc.others(record, self.config).find_map(entry);
            let shown = another.map(|entry| self.config.shown(&entry, wire));
            let can_be = shown.is_some();
            let sends = |record: &mut Record| record.replies.lengthen(can_be);
            if doc.records.get_mut(at).is_some_and(sends) {
                let entries = shown.into_iter().collect();
                self.send(key, ChannelMsg::Present(entries));
            }
        }
    }

    pub(super) fn send_fences(&mut self, fences: Fences) {
        for (to, entry) in fences {
            self.send(to, ChannelMsg::Present(vec![entry]));
        }
    }
}
