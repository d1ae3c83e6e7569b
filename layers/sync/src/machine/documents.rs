//! The documents here: opened, changed, suspended, destroyed.
//!
//! In: what the shell does with replicas. Out: effects. Touches nothing.

use kyneta_uds_core::{DocEntry, DocId, PeerId, Version};

use super::SyncMachine;
use crate::{
    effect::Effect,
    program::{DocEvent, Held, Input},
    versions::Versions,
};

/// A document here, as the machine knows it beside the program.
#[derive(Debug)]
pub(super) struct Local {
    /// The peer that has presented it, if that is why it is here.
    pub(super) origin: Option<PeerId>,
    pub(super) place: Place,
    /// It was in sync with a peer.
    pub(super) is_ready: bool,
}

/// Where a document is.
#[derive(Debug)]
pub(super) enum Place {
    /// The shell was asked to make a replica.
    Opening,
    /// The program knows it.
    Shared,
    /// It is kept, and the program does not know it.
    Suspended {
        entry: Box<DocEntry>,
        held: Held,
        version: Version,
    },
}

impl<V: Versions> SyncMachine<V> {
    /// There is a replica of a document, opened here or because of [`Effect::Open`] or [`Effect::Replicate`]. The
    /// peers are told, and asked. A document that has a replica stays as it is.
    pub fn open(&mut self, entry: DocEntry, held: Held, version: Version, out: &mut Vec<Effect>) {
        let doc = &entry.doc;
        self.destroyed.remove(doc);
        let was_deferred = matches!(self.program.document(doc), Some((_, None, _)));
        let local = self.documents.entry(doc.clone()).or_insert(Local {
            origin: None,
            place: Place::Opening,
            is_ready: false,
        });
        if matches!(local.place, Place::Suspended { .. }) {
            return;
        }
        local.place = Place::Shared;
        let event = Some(match was_deferred {
            true => DocEvent::Promoted,
            false => DocEvent::Created,
        });
        let input = Input::Ensure {
            entry,
            held,
            version,
            event,
        };
        self.apply(input, out);
    }

    /// The shell cannot make the replica that [`Effect::Open`] or [`Effect::Replicate`] has asked for. The peer is
    /// told that the document is not here. A document that was deferred stays deferred.
    pub fn refuse(&mut self, doc: &DocId, out: &mut Vec<Effect>) {
        let is_opening = |local: &Local| matches!(local.place, Place::Opening);
        if !self.documents.get(doc).is_some_and(is_opening) {
            return;
        }
        if let Some(to) = self.drop_local(doc).and_then(|local| local.origin) {
            let doc = doc.clone();
            self.apply(Input::DeclareVacant { doc, to }, out);
        }
    }

    /// The replica was changed here, and is at this version. The change is pushed to the peers that want it.
    pub fn changed(&mut self, doc: &DocId, version: Version, out: &mut Vec<Effect>) {
        if let Some(local) = self.documents.get_mut(doc)
            && let Place::Suspended { version: at, .. } = &mut local.place
        {
            *at = version;
            return;
        }
        let doc = doc.clone();
        self.apply(Input::LocalChange { doc, version }, out);
    }

    /// The document is kept and can be changed, and is not shared until it is resumed. The peers are told that it is
    /// gone. One that has no replica here stays as it is.
    pub fn suspend(&mut self, doc: &DocId, out: &mut Vec<Effect>) {
        let Some((entry, Some(held), version)) = self.program.document(doc) else {
            return;
        };
        let (entry, version) = (Box::new(entry.clone()), version.clone());
        if let Some(local) = self.documents.get_mut(doc) {
            local.place = Place::Suspended {
                entry,
                held,
                version,
            };
        }
        self.unlink(doc);
        let (doc, event) = (doc.clone(), Some(DocEvent::Suspended));
        self.apply(Input::Dismiss { doc, event }, out);
    }

    /// The document is shared again, with all schemas that it supported before.
    pub fn resume(&mut self, doc: &DocId, out: &mut Vec<Effect>) {
        let Some(local) = self.documents.get_mut(doc) else {
            return;
        };
        if !matches!(local.place, Place::Suspended { .. }) {
            return;
        }
        if let Place::Suspended {
            entry,
            held,
            version,
        } = std::mem::replace(&mut local.place, Place::Shared)
        {
            let (entry, event) = (*entry, Some(DocEvent::Resumed));
            let input = Input::Ensure {
                entry,
                held,
                version,
                event,
            };
            self.apply(input, out);
        }
    }

    /// The document is gone, and the peers are told so. A peer that presents it does not bring it back; opening it
    /// does.
    pub fn destroy(&mut self, doc: &DocId, out: &mut Vec<Effect>) {
        let Some(local) = self.drop_local(doc) else {
            return;
        };
        self.unlink(doc);
        self.destroyed.insert(doc.clone(), ());
        while self.destroyed.len() > self.limits.max_destroyed
            && let Some(oldest) = self.destroyed.first().cloned()
        {
            self.destroyed.remove(&oldest);
        }
        let (id, event) = (doc.clone(), Some(DocEvent::Removed));
        let input = match local.place {
            Place::Shared => Input::Dismiss { doc: id, event },
            Place::Opening | Place::Suspended { .. } => Input::Delete { doc: id, event },
        };
        self.apply(input, out);
        self.apply(Input::Forget(doc.clone()), out);
    }

    /// A document is not here any more; what is counted for it is given back.
    fn drop_local(&mut self, doc: &DocId) -> Option<Local> {
        let local = self.documents.remove(doc)?;
        if let Some(origin) = &local.origin {
            self.opened -= 1;
            if let Some(contact) = self.contacts.get_mut(origin) {
                contact.opened = contact.opened.saturating_sub(1);
            }
        }
        Some(local)
    }

    /// What peers have said of a document in their connections does not count any more.
    fn unlink(&mut self, doc: &DocId) {
        for contact in self.contacts.values_mut() {
            contact.links.remove(doc);
        }
    }
}
