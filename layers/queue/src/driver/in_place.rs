//! A run of waiting messages, for a channel that encodes them where they are.
//!
//! In: the driver's batch. Out: the messages from its front, by reference; how many the channel took, and their
//! size. May touch: the batch.

use kyneta_uds_core::{Run, SmallOffer};

use crate::send_queue::{Batch, Queued};

pub(super) struct InPlace<'a, M> {
    batch: &'a mut Batch<M>,
    /// Messages given to the channel, of this run and before.
    encoded: &'a mut u64,
    /// The first that is not called yet. Those before it are dropped where they stand, and their places are freed at the
    /// end: taken out one by one they would be moved, which costs 25 instructions each.
    at: usize,
    /// Size of those that the channel was called with.
    bytes: usize,
}

impl<'a, M> InPlace<'a, M> {
    pub(super) const fn of(batch: &'a mut Batch<M>, encoded: &'a mut u64) -> Self {
        Self {
            batch,
            encoded,
            at: 0,
            bytes: 0,
        }
    }

    /// How many messages the channel was called with, and their size.
    pub(super) fn done(self) -> (usize, usize) {
        (self.at, self.bytes)
    }
}

impl<M> Run<M> for InPlace<'_, M> {
    #[inline]
    fn front(&self) -> Option<&M> {
        self.batch.get(self.at)
    }

    #[inline]
    fn front_offer(&self) -> Option<SmallOffer<'_>> {
        self.batch.offer(self.at)
    }

    #[inline]
    fn called(&mut self) {
        if let Some(Queued { msg, size }) = self.batch.get_mut(self.at) {
            // Counted before it is dropped: that is the user's code, and may panic.
            *self.encoded += 1;
            self.at += 1;
            self.bytes = self.bytes.saturating_add(*size);
            match msg {
                Some(_) => *msg = None,
                None => self.batch.pop_offer(),
            }
        }
    }
}

impl<M> Drop for InPlace<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // A channel that does not know runs has taken none: it costs that nothing.
        if self.at > 0 {
            self.batch.free(self.at);
        }
    }
}
