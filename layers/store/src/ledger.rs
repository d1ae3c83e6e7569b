//! How much is stored, and when a document is written anew. Pure.
//!
//! In: the sizes of what is written. Out: whether it may be, and how.

use std::collections::HashMap;

use kyneta_uds_core::{DocId, Offer, PayloadKind};

/// Changes of fewer bytes than this are never a reason to write a document anew.
const SMALL: usize = 64 << 10;

/// How much a store may hold, in bytes of what offers carry; the file is some times larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The most bytes of a document. 64 MiB by default.
    pub max_document_bytes: usize,
    /// The most bytes in all. 1 GiB by default. All of it is read at the start, so this bounds memory, too.
    pub max_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_document_bytes: 64 << 20,
            max_bytes: 1 << 30,
        }
    }
}

/// How an offer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the place of what is there.
    Replace,
    /// After what is there.
    Append,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there would be {bytes} bytes {}; at most {limit} are allowed",
    if *.of_document { "of the document in the store" } else { "in the store" }
)]
pub struct Full {
    /// Of the document alone, or in all.
    pub of_document: bool,
    /// How many bytes there would be.
    pub bytes: usize,
    /// The most allowed.
    pub limit: usize,
}

/// How many bytes are stored of each document.
///
/// ```
/// use kyneta_uds_core::{DocId, Offer, Version};
/// use kyneta_uds_store::{Ledger, Place, StoreLimits};
///
/// let mut ledger = Ledger::new(StoreLimits::default());
/// let all = Offer::json(DocId::new("d")?, Version::new("aa:1")?, "{}");
/// assert_eq!(ledger.add(&all), Ok(Place::Replace));
/// assert_eq!(ledger.add(&all.clone().delta()), Ok(Place::Append));
/// assert_eq!(ledger.bytes(), 4);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    limits: StoreLimits,
    docs: HashMap<DocId, Size>,
    bytes: usize,
}

/// What is stored of a document.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// The bytes of all of it, as they were written last.
    state: usize,
    /// The bytes of the changes after it.
    log: usize,
    is_outgrown: bool,
}

impl Ledger {
    /// Of an empty store.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            docs: HashMap::new(),
            bytes: 0,
        }
    }

    /// The bytes in all.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all of a document is to be written next: nothing is there, or the changes have outgrown what they
    /// change. So the bytes that are written are at most some times those that are new.
    pub fn wants_all(&self, doc: &DocId) -> bool {
        let size = self.docs.get(doc);
        size.is_none_or(|size| {
            size.is_outgrown || size.log > SMALL.max(size.state.saturating_mul(2))
        })
    }

    /// Counts an offer that is written next: all of the document, or a change of what is there.
    ///
    /// # Errors
    /// [`Full`]. Then it is not counted, and must not be written.
    pub fn add(&mut self, offer: &Offer) -> Result<Place, Full> {
        let before = self.docs.get(&offer.doc).copied();
        let new = offer.data.len();
        let (place, size) = match (offer.kind, before) {
            (PayloadKind::Since, Some(mut size)) => {
                size.log = size.log.saturating_add(new);
                (Place::Append, size)
            }
            _ => (Place::Replace, Size::new(new, 0)),
        };
        let (limit, bytes) = (self.limits.max_document_bytes, size.bytes());
        if bytes > limit {
            let of_document = true;
            return Err(Full {
                of_document,
                bytes,
                limit,
            });
        }
        let others = self.bytes - before.map_or(0, Size::bytes);
        let (limit, bytes) = (self.limits.max_bytes, others.saturating_add(bytes));
        if bytes > limit && bytes > self.bytes {
            let of_document = false;
            return Err(Full {
                of_document,
                bytes,
                limit,
            });
        }
        self.bytes = bytes;
        self.docs.insert(offer.doc.clone(), size);
        Ok(place)
    }

    /// All of a document is to be written next, because there is no room for its changes.
    pub fn outgrown(&mut self, doc: &DocId) {
        if let Some(size) = self.docs.get_mut(doc) {
            size.is_outgrown = true;
        }
    }

    /// A document is deleted.
    pub fn remove(&mut self, doc: &DocId) {
        if let Some(size) = self.docs.remove(doc) {
            self.bytes -= size.bytes();
        }
    }

    /// What is stored of a document is counted, whatever the limits are.
    pub fn loaded(&mut self, offers: &[Offer]) {
        let mut sizes = offers.iter().map(|offer| offer.data.len());
        let Some(doc) = offers.first().map(|offer| offer.doc.clone()) else {
            return;
        };
        self.remove(&doc);
        let state = sizes.next().unwrap_or_default();
        let size = Size::new(state, sizes.sum());
        self.bytes += size.bytes();
        self.docs.insert(doc, size);
    }
}

impl Size {
    const fn new(state: usize, log: usize) -> Self {
        Self {
            state,
            log,
            is_outgrown: false,
        }
    }

    const fn bytes(self) -> usize {
        self.state.saturating_add(self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kyneta_uds_core::Version;

    fn offer(doc: &str, bytes: usize) -> Offer {
        let (doc, version) = (DocId::new(doc).unwrap(), Version::new("aa:1").unwrap());
        Offer::json(doc, version, "x".repeat(bytes))
    }

    #[test]
    fn the_changes_outgrow_the_state_after_twice_its_size_and_not_below_64_kib() {
        for (state, expected) in [(10, SMALL + 1), (SMALL, 2 * SMALL + 1)] {
            let mut ledger = Ledger::new(StoreLimits::default());
            let all = offer("d", state);
            assert!(ledger.wants_all(&all.doc));
            ledger.add(&all).unwrap();
            let mut log = 0;
            while !ledger.wants_all(&all.doc) {
                ledger.add(&offer("d", 1).delta()).unwrap();
                log += 1;
            }
            assert_eq!(log, expected);
            assert_eq!(ledger.add(&offer("d", 7)), Ok(Place::Replace));
            assert_eq!(ledger.bytes(), 7);
        }
    }

    #[test]
    fn what_is_over_a_limit_is_refused_and_not_counted_and_less_is_always_taken() {
        let limits = StoreLimits {
            max_document_bytes: 10,
            max_bytes: 15,
        };
        let full = |of_document, bytes, limit| {
            Err(Full {
                of_document,
                bytes,
                limit,
            })
        };
        let mut ledger = Ledger::new(limits);
        let is_outgrown = |ledger: &mut Ledger| {
            let all = offer("a", 9);
            ledger.outgrown(&all.doc);
            ledger.wants_all(&all.doc)
        };
        assert_eq!(ledger.add(&offer("a", 11)), full(true, 11, 10));
        assert_eq!(ledger.add(&offer("a", 9)), Ok(Place::Replace));
        assert_eq!(ledger.add(&offer("a", 2).delta()), full(true, 11, 10));
        assert!(is_outgrown(&mut ledger));
        assert_eq!(ledger.add(&offer("a", 9)), Ok(Place::Replace));
        assert_eq!(ledger.add(&offer("b", 7)), full(false, 16, 15));
        assert_eq!(ledger.add(&offer("b", 6)), Ok(Place::Replace));
        ledger.loaded(&[offer("c", 5), offer("c", 5).delta()]);
        assert_eq!(ledger.bytes(), 25); // of a store with a higher limit
        assert_eq!(ledger.add(&offer("c", 9)), Ok(Place::Replace));
        ledger.remove(&offer("c", 0).doc);
        assert_eq!(ledger.bytes(), 15);
        let error = ledger.add(&offer("d", 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there would be 16 bytes in the store; at most 15 are allowed"
        );
    }
}
