//! Which offers the documents of open lines take: the outbox none, because it is written here alone; the inbox any
//! history, because the peer that writes it may have started again.
//!
//! In: lines that are opened and dropped. Out: a policy. Touches its own lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use kyneta_uds_core::{DocId, ignore_poison};
use kyneta_uds_sync::{Answer, Policy};

/// The documents of the lines that are open.
#[derive(Debug, Default)]
pub(in crate::documents) struct LineRules(Mutex<HashMap<DocId, End>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Outbox,
    Inbox,
}

impl LineRules {
    fn docs(&self) -> MutexGuard<'_, HashMap<DocId, End>> {
        ignore_poison(self.0.lock())
    }

    /// False when the line is open.
    pub(super) fn add(&self, outbox: &DocId, inbox: &DocId) -> bool {
        let mut docs = self.docs();
        if docs.contains_key(outbox) {
            return false;
        }
        docs.insert(outbox.clone(), End::Outbox);
        docs.insert(inbox.clone(), End::Inbox);
        true
    }

    pub(super) fn remove(&self, outbox: &DocId, inbox: &DocId) {
        let mut docs = self.docs();
        docs.remove(outbox);
        docs.remove(inbox);
    }

    fn end(&self, doc: &DocId) -> Option<End> {
        // Other documents cost no lock.
        let is_of_a_line = doc.as_str().starts_with("line:");
        is_of_a_line.then(|| self.docs().get(doc).copied())?
    }

    pub(in crate::documents) fn policy(self: &Arc<Self>) -> Policy {
        let (accepts, resets) = (self.clone(), self.clone());
        let refused = |end| match end {
            Some(End::Outbox) => Answer::No,
            Some(End::Inbox) | None => Answer::NoOpinion,
        };
        Policy::new()
            .can_accept(move |doc, _| refused(accepts.end(doc)))
            .can_reset(move |doc, _| match resets.end(doc) {
                Some(End::Inbox) => Answer::Yes,
                end => refused(end),
            })
    }
}
