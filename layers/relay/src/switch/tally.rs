//! How much is kept of documents, so that a status need not look at each record.
//!
//! In: a document that an event has changed. Out: the sums over all documents. Touches nothing.

use std::iter::Sum;

use super::document::{Document, Record};

/// Sums over records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) records: usize,
    /// Messages and versions that are remembered until they are answered.
    pub(super) open: usize,
}

impl Tally {
    pub(super) fn of(doc: &Document) -> Self {
        Self {
            records: doc.records.len(),
            open: doc.records.iter().map(Record::open).sum(),
        }
    }

    /// A document has changed: what it had before is taken off, what it has now is added.
    pub(super) fn count(&mut self, doc: &mut Document) {
        let (now, before) = (Self::of(doc), doc.counted);
        self.records = self.records + now.records - before.records;
        self.open = self.open + now.open - before.open;
        doc.counted = now;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, one| Self {
            records: sum.records + one.records,
            open: sum.open + one.open,
        })
    }
}
