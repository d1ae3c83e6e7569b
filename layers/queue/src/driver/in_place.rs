//! A run of waiting messages, for a channel that encodes them where they are.
//!
//! In: the driver's batch. Out: the messages from its front, by reference; how many the channel took, and their
//! size. May touch: the batch.

use kyneta_uds_core::Run;

use crate::send_queue::{Batch, Queued};

pub(super) struct InPlace<'a, M> {
    batch: &'a mut Batch<M>,
    /// Messages given to the channel, of this run and before.
    encoded: &'a mut u64,
    /// Size of those that the channel was called with.
    pub(super) bytes: usize,
}

impl<'a, M> InPlace<'a, M> {
    pub(super) const fn of(batch: &'a mut Batch<M>, encoded: &'a mut u64) -> Self {
        Self {
            batch,
            encoded,
            bytes: 0,
        }
    }
}

impl<M> Run<M> for InPlace<'_, M> {
    #[inline]
    fn front(&self) -> Option<&M> {
        self.batch.front()?.msg.as_ref()
    }

    #[inline]
    fn called(&mut self) {
        // Counted before it is dropped: that is the user's code, and may panic.
        *self.encoded += 1;
        if let Some(Queued { msg, size }) = self.batch.pop_front() {
            self.bytes = self.bytes.saturating_add(size);
            drop(msg);
        }
    }
}
