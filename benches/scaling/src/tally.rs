//! Counts what arrives, and says when the last of it did.
//!
//! In: how much has come. Out: an instant. Touches the clock.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

/// Shared by all who receive.
pub(crate) struct Tally {
    to_come: AtomicU64,
    last: Mutex<Option<oneshot::Sender<Instant>>>,
}

/// One for `count` messages, and when the last of them came.
pub(crate) fn tally(count: u64) -> (Arc<Tally>, oneshot::Receiver<Instant>) {
    let (sender, receiver) = oneshot::channel();
    let tally = Tally {
        to_come: AtomicU64::new(count),
        last: Mutex::new(Some(sender)),
    };
    (Arc::new(tally), receiver)
}

impl Tally {
    /// As many more have come.
    pub(crate) fn came(&self, messages: u64) {
        if messages == 0 || self.to_come.fetch_sub(messages, Ordering::Relaxed) != messages {
            return;
        }
        let now = Instant::now();
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(last) = last {
            // Who has given up asks no more.
            let _ = last.send(now);
        }
    }
}
