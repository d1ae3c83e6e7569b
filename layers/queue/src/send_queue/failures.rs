//! What most queues never have: refusals, losses, counts. Absent until there is one.
//!
//! In: numbers of messages, errors. Out: what became of a number. Touches nothing.

use std::collections::BTreeMap;

use kyneta_uds_core::SharedError;

use super::{SendQueue, losses::Losses};
use crate::counts::Ledger;

/// How many refusals are kept for futures that have not asked yet.
const MAX_REFUSALS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Failures {
    refused: BTreeMap<u64, SharedError>,
    /// Refusals of messages before this one may have been forgotten.
    forgotten: u64,
    pub(super) losses: Losses,
    ledger: Ledger,
}

impl Failures {
    /// Takes the refusal of message `number`.
    pub(super) fn take_refusal(&mut self, number: u64) -> Option<SharedError> {
        self.refused.remove(&number)
    }

    /// False when a refusal of message `number` may have been forgotten.
    pub(super) fn knows(&self, number: u64) -> bool {
        number >= self.forgotten
    }
}

impl<M> SendQueue<M> {
    pub(super) fn failures(&mut self) -> &mut Failures {
        self.failures.get_or_insert_default()
    }

    /// Counts and log lines.
    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        &mut self.failures().ledger
    }

    /// Message `number` could not be encoded. Drop what it evicts without the lock.
    #[must_use]
    pub(crate) fn refuse(&mut self, number: u64, error: SharedError) -> Option<SharedError> {
        let this = self.failures();
        let mut oldest = None;
        if this.refused.len() >= MAX_REFUSALS
            && let Some((number, error)) = this.refused.pop_first()
        {
            this.forgotten = this.forgotten.max(number + 1);
            oldest = Some(error);
        }
        this.refused.insert(number, error);
        oldest
    }

    /// Removes the refusal of a dropped future's message; drop it without the lock.
    #[must_use]
    pub(crate) fn forget(&mut self, number: u64) -> Option<SharedError> {
        self.failures.as_mut()?.take_refusal(number)
    }
}
