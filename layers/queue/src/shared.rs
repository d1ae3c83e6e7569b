//! The send queue behind its lock, shared by handles, futures and the driver.
//!
//! In: messages, ends, halts, from any thread. Out: what the driver is to do, events. May touch: its lock, wakers,
//! the log; the clock only to bound the log.
//!
//! No code of the user's runs under the lock: what is of the user's kind is made before it is taken, and
//! woken or dropped after it is released.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use kyneta_uds_core::{DisconnectReason, SharedError, ignore_poison, undisturbed};

use crate::{
    budget::Lease,
    config::{QueueConfig, QueueEvent},
    counts::QueueCounts,
    send_queue::{Halted, Halting, Level, SendQueue},
    sync::{AtomicBool, AtomicU8, AtomicUsize, Mutex, MutexGuard},
};

/// What the driver is to do beside its work.
pub(crate) mod order {
    pub(crate) const RUN: u8 = 0;
    /// End at once, without draining.
    pub(crate) const ABORT: u8 = 1;
    /// Read no more, and let the handler finish.
    pub(crate) const QUIET: u8 = 2;
    /// Encode all, and put the channel aside.
    pub(crate) const FREEZE: u8 = 3;
    /// As `QUIET`, and encode beyond the channel's room.
    pub(crate) const ROOM: u8 = 4;
    /// Encode beyond the channel's room, give out what is not written, and go on.
    pub(crate) const AHEAD: u8 = 5;
    /// Go on, but let less wait: something has gone ahead, and a halt follows.
    pub(crate) const IS_AHEAD: u8 = 6;
    /// Put the channel aside if nothing waits, and go on: a halt follows.
    pub(crate) const ASIDE: u8 = 7;
}

pub(crate) struct Shared<M> {
    send_queue: Mutex<SendQueue<M>>,
    pub(crate) config: QueueConfig,
    /// Any refusal since the start: lets dropped futures skip the lock.
    pub(crate) refusals: AtomicBool,
    /// Handles alive; the last one closes.
    pub(crate) handles: AtomicUsize,
    /// What the driver is to do beside its work.
    pub(crate) order: AtomicU8,
}

impl<M> std::fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
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
            order: AtomicU8::new(order::RUN),
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
        self.cannot_halt();
    }

    /// The driver is to halt, and to tell `done` whether it has.
    pub(crate) fn halt(&self, order: u8, done: Halted) {
        let halting = Box::new(Halting { order, done });
        let former = self.lock().halting().replace(halting);
        if let Some(former) = former {
            (former.done)(false);
        }
        // Not one that is to end.
        let _ = self
            .order
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != order::ABORT).then_some(order)
            });
        let mut send_queue = self.lock();
        if send_queue.is_aside() && matches!(order, order::QUIET | order::FREEZE) {
            drop(send_queue);
            // The driver rests, and will find the order if something wakes it.
            return self.halted(order);
        }
        let (driver, has_ended) = (send_queue.take_driver(), send_queue.has_ended());
        drop(send_queue);
        driver.wake();
        if has_ended {
            self.cannot_halt();
        }
    }

    /// Where the driver is to be quiet, it makes room in the queue.
    pub(crate) fn make_room(&self) {
        let (is, with_room) = (order::QUIET, order::ROOM);
        let changed =
            self.order
                .compare_exchange(is, with_room, Ordering::AcqRel, Ordering::Acquire);
        if changed.is_ok() {
            let driver = self.lock().take_driver();
            driver.wake();
        }
    }

    /// Goes on, whatever halt was asked for.
    pub(crate) fn thaw(&self) {
        self.cannot_halt();
        let _ = self
            .order
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != order::ABORT).then_some(order::RUN)
            });
        let mut send_queue = self.lock();
        send_queue.set_aside(false);
        let driver = send_queue.take_driver();
        drop(send_queue);
        driver.wake();
    }

    /// The driver takes the order to put the channel aside, if no other one has come: it carries it out at the end of its turn.
    pub(crate) fn take_aside_order(&self) -> bool {
        let (is, next) = (order::ASIDE, order::RUN);
        let taken = self
            .order
            .compare_exchange(is, next, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok()
    }

    /// The channel is aside until the driver is polled, or it was not put there. After the next order it is not waited for.
    pub(crate) fn is_aside(&self, is_aside: bool) {
        self.lock().set_aside(is_aside);
        self.answer(order::ASIDE, is_aside);
    }

    /// What was to go ahead has, or cannot: the driver goes on, if no other order has come.
    pub(crate) fn is_ahead(&self, has_gone: bool) {
        let is = order::AHEAD;
        let next = if has_gone {
            order::IS_AHEAD
        } else {
            order::RUN
        };
        let _ = self
            .order
            .compare_exchange(is, next, Ordering::AcqRel, Ordering::Acquire);
        match has_gone {
            true => self.halted(is),
            false => self.cannot_halt(),
        }
    }

    /// True while the halt by this order is asked for, and not reached.
    pub(crate) fn is_halting(&self, order: u8) -> bool {
        let order = match order {
            order::ROOM => order::QUIET,
            order => order,
        };
        let by = self.lock().halting().as_ref().map(|halting| halting.order);
        by == Some(order)
    }

    /// The halt by this order is reached. Not one by the next order: a driver that is still at work on the former one says
    /// so twice.
    pub(crate) fn halted(&self, order: u8) {
        self.answer(order, true);
    }

    fn answer(&self, order: u8, is_reached: bool) {
        let done = self
            .lock()
            .halting()
            .take_if(|halting| halting.order == order);
        if let Some(halting) = done {
            (halting.done)(is_reached);
        }
    }

    /// The halt that was asked for, by whichever order, will not be reached.
    pub(crate) fn cannot_halt(&self) {
        let done = self.lock().halting().take();
        if let Some(halting) = done {
            (halting.done)(false);
        }
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
            undisturbed(|| on_event(event));
        }
    }
}
