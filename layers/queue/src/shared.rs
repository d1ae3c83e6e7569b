//! The backlog behind its lock, shared by handles, futures and the driver.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use kyneta_uds_core::DisconnectReason;

use crate::{
    backlog::Backlog,
    budget::Lease,
    config::QueueConfig,
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard},
};

#[derive(Debug)]
pub(crate) struct Shared<M> {
    backlog: Mutex<Backlog<M>>,
    pub(crate) config: QueueConfig,
    /// Any refusal since the start: lets dropped futures skip the lock.
    pub(crate) refusals: AtomicBool,
    /// Handles alive; the last one closes.
    pub(crate) handles: AtomicUsize,
    /// End at once, without draining.
    pub(crate) abort: AtomicBool,
}

impl<M> Shared<M> {
    pub(crate) fn new(config: QueueConfig) -> Arc<Self> {
        Arc::new(Self {
            backlog: Mutex::new(Backlog::new(
                config.max_messages,
                config.max_bytes,
                config.overflow,
                config.budget.clone().map(Lease::new),
            )),
            config,
            refusals: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            abort: AtomicBool::new(false),
        })
    }

    /// Nothing that can panic runs under the lock, so poison means nothing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Backlog<M>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end, told to all who wait. All before `called` may have been sent.
    pub(crate) fn end(&self, called: u64, reason: DisconnectReason) {
        let (unsent, wakes) = self.lock().end(called, reason);
        // Both without the lock: messages and wakers are of the user's kind.
        drop(unsent);
        wakes.wake();
    }

    pub(crate) fn any_refusal(&self) -> bool {
        self.refusals.load(Ordering::Acquire)
    }
}
