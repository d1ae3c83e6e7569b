//! The batches that made a document, as text, so far as they are kept.

use std::collections::VecDeque;

/// The last batches. The oldest are dropped when there is no room.
#[derive(Debug)]
pub(super) struct Log {
    batches: VecDeque<String>,
    bytes: usize,
    max_bytes: usize,
}

impl Log {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, batch: String) {
        self.bytes += batch.len();
        self.batches.push_back(batch);
        while self.bytes > self.max_bytes {
            match self.batches.pop_front() {
                Some(oldest) => self.bytes -= oldest.len(),
                None => break,
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }

    pub(super) fn len(&self) -> u64 {
        self.batches.len() as u64
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends the last `count` batches, with commas between.
    pub(super) fn push_last(&self, count: u64, out: &mut String) {
        let skip = self.len().saturating_sub(count);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for (at, batch) in self.batches.iter().skip(skip).enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(batch);
        }
    }
}
