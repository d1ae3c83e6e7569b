//! A store in memory, for tests and for programs that only move their documents.
//!
//! In: what is to be stored. Out: the same. May touch: a lock of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use kyneta_uds_core::{DocId, ignore_poison};

use crate::{
    error::StoreError,
    stored::{Store, Stored, Write},
};

/// A store in memory. All clones are one, so a test can end an exchange, and give what it has stored to the next.
///
/// ```
/// use kyneta_uds_store::{MemoryStore, Store};
///
/// assert!(MemoryStore::new().load()?.is_empty());
/// # Ok::<(), kyneta_uds_store::StoreError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    docs: Arc<Mutex<HashMap<DocId, Stored>>>,
}

impl MemoryStore {
    /// Without documents.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy, which later writes do not change: what a process that is killed now leaves behind.
    pub fn snapshot(&self) -> Self {
        let docs = ignore_poison(self.docs.lock()).clone();
        Self {
            docs: Arc::new(Mutex::new(docs)),
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        Ok(ignore_poison(self.docs.lock()).values().cloned().collect())
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let mut docs = ignore_poison(self.docs.lock());
        if let Some(doc) = without_a_beginning(&docs, writes) {
            return Err(StoreError::Damaged {
                doc: doc.to_string(),
                why: "there is nothing that a change could be added to".to_owned(),
            });
        }
        for write in writes.iter().cloned() {
            match write {
                Write::Replace { head, offer } => {
                    docs.insert(offer.doc.clone(), Stored::new(head, offer));
                }
                Write::Append { offer } => {
                    if let Some(stored) = docs.get_mut(&offer.doc) {
                        stored.offers.push(offer);
                    }
                }
                Write::Head { doc, head } => {
                    if let Some(stored) = docs.get_mut(&doc) {
                        stored.head = head;
                    }
                }
                Write::Delete { doc } => {
                    docs.remove(&doc);
                }
            }
        }
        Ok(())
    }
}

/// A document that is changed, and is not there then.
fn without_a_beginning<'w>(
    docs: &HashMap<DocId, Stored>,
    writes: &'w [Write],
) -> Option<&'w DocId> {
    let mut is_there = HashMap::new();
    for write in writes {
        match write {
            Write::Replace { offer, .. } => {
                is_there.insert(&offer.doc, true);
            }
            Write::Delete { doc } => {
                is_there.insert(doc, false);
            }
            Write::Append { offer } => {
                let is_there = is_there.get(&offer.doc).copied();
                if !is_there.unwrap_or_else(|| docs.contains_key(&offer.doc)) {
                    return Some(&offer.doc);
                }
            }
            Write::Head { .. } => {}
        }
    }
    None
}
