//! Messages that are still to be received, by any of many receivers.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Countdown {
    left: AtomicU64,
    done: Notify,
}

impl Countdown {
    pub(super) fn start(&self, count: u64) {
        self.left.store(count, Ordering::Relaxed);
    }

    pub(super) fn received(&self, count: u64) {
        if count > 0 && self.left.fetch_sub(count, Ordering::Relaxed) == count {
            self.done.notify_one();
        }
    }

    /// Ready when all are received.
    pub(super) async fn done(&self) {
        self.done.notified().await;
    }
}
