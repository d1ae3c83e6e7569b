//! Counts arrived messages, and reports when the last one arrived.
//!
//! In: counts. Out: an instant. Touches the clock.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

/// Shared by all receivers.
pub(crate) struct Tally {
    to_come: AtomicU64,
    last: Mutex<Option<oneshot::Sender<Instant>>>,
}

/// A tally for `count` messages, and a receiver of the time of the last one.
pub(crate) fn tally(count: u64) -> (Arc<Tally>, oneshot::Receiver<Instant>) {
    let (sender, receiver) = oneshot::channel();
    let tally = Tally {
        to_come: AtomicU64::new(count),
        last: Mutex::new(Some(sender)),
    };
    (Arc::new(tally), receiver)
}

impl Tally {
    /// Counts more messages.
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
            // The receiver may have given up.
            let _ = last.send(now);
        }
    }
}
