//! The room for all documents of an exchange together.
//!
//! In: what each document holds. Out: whether there is room. Touches documents that are measured.
//!
//! A document counts what it holds as at least so much, because measuring costs a look at all of it. Near the limit
//! the documents whose count is the most uncertain are measured, until an eighth of the limit is free, so that the next
//! documents need not be measured at once. If that is not enough, they give up their histories in the same way: else the
//! histories of many documents would fill the room for good.
//!
//! What comes in a line says what its peer has processed, and so which messages here can be removed. If it were refused
//! like anything else, lines that have filled the room would stay full. So there is an eighth more for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::cell::DocCell;

/// Bytes of all documents.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    held: AtomicUsize,
}

/// For what something is to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Any document.
    Any,
    /// The inbox of an open line.
    Inbox,
}

/// All documents together are too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "all documents together have {bytes} bytes, more than {limit}: nothing is added \
     (ExchangeBuilder::max_bytes_in_all)"
)]
pub struct DocumentsFull {
    /// The bytes there are.
    pub bytes: usize,
    /// The most allowed.
    pub limit: usize,
}

impl Room {
    pub(super) const fn new(limit: usize) -> Self {
        let held = AtomicUsize::new(0);
        Self { limit, held }
    }

    /// Whether something may be added. `all` gives the documents, to be measured.
    pub(super) fn check(
        &self,
        of: Of,
        all: impl FnOnce() -> Vec<Arc<DocCell>>,
    ) -> Result<(), DocumentsFull> {
        let limit = match of {
            Of::Any => self.limit,
            Of::Inbox => self.limit.saturating_add(self.limit / 8),
        };
        if self.held() > limit {
            let all = all();
            self.measure(&all);
            if self.held() > limit {
                self.forget_histories(&all);
            }
        }
        match self.held() {
            bytes if bytes > limit => Err(DocumentsFull { bytes, limit }),
            _ => Ok(()),
        }
    }

    /// A document counts `now` in place of `before`.
    pub(super) fn count(&self, before: usize, now: usize) {
        if now > before {
            self.held.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn measure(&self, all: &[Arc<DocCell>]) {
        self.free(all, DocCell::uncertain_bytes, DocCell::measure);
    }

    /// What peers can be sent in another way leaves before anything is refused.
    fn forget_histories(&self, all: &[Arc<DocCell>]) {
        self.free(all, DocCell::history_bytes, DocCell::forget_history);
    }

    /// Does something to the documents, those first that it may free the most bytes of, until an eighth is free.
    fn free(
        &self,
        all: &[Arc<DocCell>],
        most: impl Fn(&DocCell) -> usize,
        free: impl Fn(&DocCell),
    ) {
        let by_bytes = all.iter().map(|cell| (most(cell), cell));
        let mut by_bytes: Vec<_> = by_bytes.filter(|(bytes, _)| *bytes > 0).collect();
        by_bytes.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (_, cell) in by_bytes {
            free(cell);
            if self.held() <= self.limit - self.limit / 8 {
                return;
            }
        }
    }
}
