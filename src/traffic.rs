//! Messages sent and received on one connection, and its age.
//!
//! In: a queue's mark at begin and end, and each message that comes in. Out: counts. May touch: the clock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_core::ChannelMsg;
use kyneta_uds_queue::Handle;

/// The messages and the age of one connection.
#[derive(Debug)]
pub(crate) struct Traffic {
    since: Instant,
    /// The queue's mark when the connection began, if earlier connections used the same queue.
    after: Option<u64>,
    /// Messages sent; set at the end.
    sent: OnceLock<u64>,
    /// Messages received. Only the connection's driver writes it.
    received: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            after: None,
            sent: OnceLock::new(),
            received: AtomicU64::new(0),
        }
    }
}

impl Traffic {
    /// Of a connection that shares its queue with earlier ones; `mark` is the queue's at the beginning.
    pub(crate) fn after(mark: u64) -> Self {
        Self {
            after: Some(mark),
            ..Self::default()
        }
    }

    /// The connection has ended with its queue at this mark. Later calls have no effect.
    pub(crate) fn end(&self, mark: u64) {
        let _ = self.sent.set(self.up_to(mark));
    }

    /// Messages sent on the connection.
    pub(crate) fn sent(&self, handle: &Handle<ChannelMsg>) -> u64 {
        let so_far = self.up_to(handle.gone_out());
        // Read second: messages sent on the next connection are not this one's.
        self.sent.get().copied().unwrap_or(so_far)
    }

    /// Counts a message received.
    #[inline]
    pub(crate) fn count_received(&self) {
        // Not `fetch_add`: there is one writer.
        let so_far = self.received.load(Ordering::Relaxed);
        self.received.store(so_far + 1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn shares_queue(&self) -> bool {
        self.after.is_some()
    }

    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn up_to(&self, mark: u64) -> u64 {
        mark.saturating_sub(self.after.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_first_mark_to_the_end() {
        for (traffic, mark, expected) in [
            (Traffic::default(), 3, 3),
            (Traffic::after(2), 3, 1),
            (Traffic::after(3), 3, 0),
        ] {
            traffic.end(mark);
            traffic.end(mark + 10);
            assert_eq!(traffic.sent.get(), Some(&expected), "{traffic:?}");
        }
    }
}
