//! Losses: which messages were lost with a connection that another has replaced.
//!
//! In: ranges of numbers, with reasons. Out: what became of a number in them. Touches nothing.

use std::{collections::VecDeque, ops::Range};

use kyneta_uds_core::DisconnectReason;

use super::SendQueue;
use crate::error::SendError;

/// How many losses are kept for futures that have not asked yet.
const MAX_LOSSES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Losses {
    /// In order, apart from each other.
    kept: VecDeque<(Range<u64>, DisconnectReason)>,
    /// Losses before this number may have been forgotten.
    forgotten: u64,
}

impl Losses {
    /// Returns the reason that it evicts.
    fn add(&mut self, range: Range<u64>, reason: DisconnectReason) -> Option<DisconnectReason> {
        let mut oldest = None;
        if self.kept.len() >= MAX_LOSSES
            && let Some((range, reason)) = self.kept.pop_front()
        {
            self.forgotten = range.end;
            oldest = Some(reason);
        }
        self.kept.push_back((range, reason));
        oldest
    }

    /// Why some message in `range` may not have been sent, if so.
    #[inline]
    pub(super) fn within(&self, range: Range<u64>) -> Option<SendError> {
        if self.kept.is_empty() {
            return None;
        }
        self.look(range)
    }

    #[cold]
    fn look(&self, range: Range<u64>) -> Option<SendError> {
        let overlap = |(lost, _): &&(Range<u64>, DisconnectReason)| {
            lost.start < range.end && range.start < lost.end
        };
        if let Some((_, reason)) = self.kept.iter().find(overlap) {
            return Some(SendError::Disconnected {
                reason: reason.clone(),
                maybe_sent: true,
            });
        }
        (range.start < self.forgotten).then_some(SendError::Forgotten)
    }
}

impl<M> SendQueue<M> {
    /// All of `range`, which the kernel is not known to have taken, was lost with a connection. The next
    /// [`progress`](Self::progress) goes past it and wakes its futures. Drop what it evicts without the lock.
    #[must_use]
    pub(crate) fn lose(
        &mut self,
        range: Range<u64>,
        reason: DisconnectReason,
    ) -> Option<DisconnectReason> {
        self.failures().losses.add(range, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_known_until_too_much_has_been() {
        let mut losses = Losses::default();
        for start in 0..MAX_LOSSES as u64 {
            losses.add(10 * start..10 * start + 5, DisconnectReason::Closed);
        }
        assert!(
            losses
                .within(3..4)
                .is_some_and(|error| error.may_have_been_sent())
        );
        assert!(losses.within(5..10).is_none());
        assert!(losses.within(5..11).is_some());
        losses.add(10_000..10_001, DisconnectReason::Closed);
        assert!(matches!(losses.within(3..4), Some(SendError::Forgotten)));
        assert!(losses.within(5..10).is_none());
    }
}
