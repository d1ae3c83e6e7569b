//! The send queue behind its lock, shared by handles, futures and the driver.
//!
//! No code of the user's runs under the lock: what is of the user's kind is made before it is taken, and
//! woken or dropped after it is released.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use kyneta_uds_core::{DisconnectReason, SharedError, ignore_poison};

use crate::{
    budget::Lease,
    config::{QueueConfig, QueueEvent},
    counts::QueueCounts,
    send_queue::{Level, SendQueue},
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard},
};

#[derive(Debug)]
pub(crate) struct Shared<M> {
    send_queue: Mutex<SendQueue<M>>,
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
            send_queue: Mutex::new(SendQueue::new(
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

    pub(crate) fn lock(&self) -> MutexGuard<'_, SendQueue<M>> {
        ignore_poison(self.send_queue.lock())
    }

    /// Accepts no more messages, because of `reason`. Queued ones are still sent.
    pub(crate) fn close(&self, reason: DisconnectReason) {
        let wakes = self.lock().close(reason);
        wakes.wake();
    }

    /// Writing has failed: wakes all futures that wait for messages. Messages before `encoded` may have been sent.
    pub(crate) fn fail(&self, encoded: u64, reason: DisconnectReason) {
        let mut remains = self.lock().fail(encoded, reason);
        std::mem::take(&mut remains.wakes).wake();
    }

    /// The end: wakes all futures. Messages before `encoded` may have been sent.
    pub(crate) fn end(&self, encoded: u64, reason: DisconnectReason) {
        let mut remains = self.lock().end(encoded, reason);
        std::mem::take(&mut remains.wakes).wake();
    }

    pub(crate) fn any_refusal(&self) -> bool {
        self.refusals.load(Ordering::Acquire)
    }

    /// Message `number` could not be encoded.
    pub(crate) fn refuse(&self, number: u64, error: SharedError) {
        self.refusals.store(true, Ordering::Release);
        let forgotten = self.lock().refuse(number, error.clone());
        drop(forgotten);
        self.tell(&QueueEvent::Refused(error));
    }

    pub(crate) fn counts(&self) -> QueueCounts {
        self.lock().ledger().counts()
    }

    /// Reports a queue that has become full, if it has.
    #[inline]
    pub(crate) fn tell_high_water(&self, level: Option<Level>) {
        if let Some(Level { messages, bytes }) = level {
            self.tell(&QueueEvent::HighWater { messages, bytes });
        }
    }

    /// Counts an event and calls the user's callback; without one, a fault is logged.
    #[cold]
    pub(crate) fn tell(&self, event: &QueueEvent) {
        let warns = self.config.on_event.is_none() && event.is_fault();
        let line = {
            let mut send_queue = self.lock();
            let ledger = send_queue.ledger();
            ledger.count(event);
            warns.then(|| ledger.line(Instant::now())).flatten()
        };
        match line {
            Some(0) => tracing::warn!(?event, "queue"),
            Some(left_out) => tracing::warn!(?event, left_out, "queue"),
            None => tracing::debug!(?event, "queue"),
        }
        if let Some(on_event) = &self.config.on_event {
            on_event(event);
        }
    }
}
