//! The queue as a pure machine: messages that wait, senders that wait, and how far the kernel has got.
//!
//! In: permit requests, messages, progress. Out: messages, and wakers that the shell wakes without the
//! lock. Touches nothing. Messages, wakers and errors are the user's types: they are passed in and out by
//! value, so that none is cloned or dropped under the lock.
//!
//! Messages are numbered from 0. Three numbers divide them: `taken` by the kernel, `encoded` into
//! the write buffer, `next` to be queued. These replace a oneshot for each message (some 130 ns).

mod batch;
mod completion;
mod failures;
mod losses;
mod permits;
mod turns;
mod wakes;

use std::{collections::BTreeMap, task::Waker};

use kyneta_uds_core::{DisconnectReason, SmallOffer};

pub(crate) use self::batch::{Batch, ByValue, Queued};
pub(crate) use self::completion::CompletionKey;
pub(crate) use self::permits::{Acquire, Contention, Permit, PermitRequest, WaiterKey};
use self::{failures::Failures, permits::Waiters, wakes::Wakes};
use crate::{budget::Lease, config::Overflow, error::SendError};

/// Capacity of an idle queue, in messages.
const KEPT: usize = 1;

/// Capacity of an idle queue for waiting futures: the smallest that `Vec` allocates.
const KEPT_WAITERS: usize = 4;

pub(crate) struct SendQueue<M> {
    max_messages: usize,
    max_bytes: usize,
    overflow: Overflow,
    lease: Option<Lease>,

    queue: Batch<M>,
    /// The most that were taken at once since `shrink` last asked.
    most: usize,
    /// Waiting: queued, or taken by the driver and not yet encoded.
    messages: usize,
    bytes: usize,
    /// Of these bytes, those that the channel holds beyond its room.
    carried: usize,
    /// Size of the last message queued.
    last_size: usize,
    /// Permits that are granted and not used yet, and the bytes that they reserve.
    reserved: usize,
    reserved_bytes: usize,
    epoch: u32,
    /// A sender was rejected because unused permits fill the queue.
    rejected_full: bool,
    /// Senders wait until the handler has answered what was read ahead.
    yielding: bool,
    /// One message may be queued at a full queue: no sender waited when a permit was due.
    one_may_enter: bool,
    /// A bound is reached. Updated with each message in or out, so what other queues do to a shared
    /// budget is seen with the next message.
    filled: bool,
    /// It was filled, and has not been empty since.
    full: bool,
    /// The level when it became full, until the driver has reported it.
    high_water: Option<Box<Level>>,

    next: u64,
    encoded: u64,
    taken: u64,
    failures: Option<Box<Failures>>,

    /// Senders that wait for a permit. Absent when none does.
    waiters: Option<Box<Waiters>>,
    next_waiter: u64,
    /// Futures that wait for their message, nearly always in order.
    message_waiters: Vec<(u64, Waker)>,
    /// Futures that wait until all messages up to a number are taken, or for the end.
    completions: BTreeMap<CompletionKey, Waker>,
    next_completion: u64,
    /// The driver's waker, while it is idle or pending.
    driver: Option<Waker>,
    /// The driver has nothing to write: the next message wakes it.
    idle: bool,
    state: State,
    /// The halt that was asked for and is not reached.
    halting: Option<Box<Halting>>,
    /// The channel was put aside, and the driver has not been polled since.
    aside: bool,
}

/// A halt that is not reached.
pub(crate) struct Halting {
    /// By which order.
    pub(crate) order: u8,
    pub(crate) done: Halted,
}

/// Told whether a halt was reached. Of the user's code: it is called and dropped without the lock.
pub(crate) type Halted = Box<dyn FnOnce(bool) + Send>;

#[derive(Debug)]
enum State {
    Open,
    /// No message is accepted any more; queued ones are still sent.
    Closing(DisconnectReason),
    /// Writing has failed: nothing more is sent. What the peer has sent is still read.
    Failed(DisconnectReason),
    Closed(DisconnectReason),
}

/// A queued message.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pushed {
    pub(crate) number: u64,
    /// The driver's waker, if it is idle; to be woken without the lock.
    pub(crate) driver: Option<Waker>,
}

/// What the shell does after a step of the driver, without the lock.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Progress {
    pub(crate) wakes: Wakes,
    /// The queue has become full since the last step.
    pub(crate) high_water: Option<Level>,
    /// A queue that was full has become empty.
    pub(crate) drained: bool,
}

/// What remains at the end, to be dropped without the lock.
#[derive(Debug)]
#[must_use]
pub(crate) struct Remains<M> {
    pub(crate) wakes: Wakes,
    _unsent: Batch<M>,
    _state: State,
    _driver: Option<Waker>,
}

/// How full the queue is, for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl<M> SendQueue<M> {
    pub(crate) fn new(
        max_messages: usize,
        max_bytes: usize,
        overflow: Overflow,
        lease: Option<Lease>,
    ) -> Self {
        Self {
            max_messages,
            max_bytes,
            overflow,
            lease,
            queue: Batch::new(),
            most: 0,
            messages: 0,
            bytes: 0,
            carried: 0,
            last_size: 0,
            reserved: 0,
            reserved_bytes: 0,
            epoch: 0,
            rejected_full: false,
            yielding: false,
            one_may_enter: false,
            filled: false,
            full: false,
            high_water: None,
            next: 0,
            encoded: 0,
            taken: 0,
            failures: None,
            waiters: None,
            next_waiter: 0,
            message_waiters: Vec::new(),
            completions: BTreeMap::new(),
            next_completion: 0,
            driver: None,
            idle: false,
            state: State::Open,
            halting: None,
            aside: false,
        }
    }

    /// What is told when a halt is reached.
    pub(crate) const fn halting(&mut self) -> &mut Option<Box<Halting>> {
        &mut self.halting
    }

    /// Sets how much waits now.
    fn hold(&mut self, messages: usize, bytes: usize) {
        (self.messages, self.bytes) = (messages, bytes);
        if let Some(lease) = &mut self.lease {
            lease.hold(messages, bytes);
        }
        self.filled = self.is_filled();
    }

    #[inline]
    fn is_filled(&self) -> bool {
        let lacks_room = |lease: &Lease| !lease.has_room(self.messages, self.bytes);
        self.messages >= self.max_messages
            || self.bytes >= self.max_bytes
            || self.lease.as_ref().is_some_and(lacks_room)
    }

    pub(crate) fn level(&self) -> Level {
        Level {
            messages: self.messages,
            bytes: self.bytes,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// True once the connection is over.
    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Queues a message, using up a permit.
    #[inline]
    pub(crate) fn push(&mut self, msg: Option<M>, size: usize, permit: Permit) -> Pushed {
        self.unreserve(permit);
        self.make_place();
        self.accept(msg, size)
    }

    /// Queues a message without a permit, if there is room and no sender waits for it; else leaves it
    /// where it is.
    #[inline]
    pub(crate) fn push_at_once(&mut self, msg: &mut Option<M>, size: usize) -> Option<Pushed> {
        if msg.is_none() || self.is_closed() || !self.has_room() || !self.is_line_empty() {
            return None;
        }
        self.make_place();
        Some(self.accept(msg.take(), size))
    }

    /// Queues a message without a permit, above the bounds if there is no room.
    #[inline]
    pub(crate) fn push_now(&mut self, msg: M, size: usize) -> Pushed {
        self.make_place();
        self.accept(Some(msg), size)
    }

    /// Queues all of `msgs`, as [`push_now`](Self::push_now) does each. The driver's waker, if it is to be woken.
    pub(crate) fn push_all_now(&mut self, msgs: &mut Batch<M>) -> Option<Waker> {
        let driver = match self.count_all(msgs) {
            Some(driver) => driver,
            None => {
                let mut driver = None;
                for size in msgs.sizes() {
                    driver = self.count(size).or(driver);
                }
                driver
            }
        };
        self.queue.take_from(msgs, usize::MAX);
        driver
    }

    /// As [`push`](Self::push), of the first message of `msgs`.
    pub(crate) fn push_first(
        &mut self,
        msgs: &mut Batch<M>,
        size: usize,
        permit: Permit,
    ) -> Pushed {
        self.unreserve(permit);
        let number = self.next;
        self.queue.take_from(msgs, 1);
        let driver = self.count(size);
        Pushed { number, driver }
    }

    /// As [`push`](Self::push), of a small offer by reference.
    pub(crate) fn push_small(
        &mut self,
        offer: &SmallOffer<'_>,
        size: usize,
        by_value: ByValue<M>,
        permit: Permit,
    ) -> Pushed {
        self.unreserve(permit);
        self.accept_small(offer, size, by_value)
    }

    /// As [`push_at_once`](Self::push_at_once), of a small offer by reference.
    #[inline]
    pub(crate) fn push_small_at_once(
        &mut self,
        offer: &SmallOffer<'_>,
        size: usize,
        by_value: ByValue<M>,
    ) -> Option<Pushed> {
        if self.is_closed() || !self.has_room() || !self.is_line_empty() {
            return None;
        }
        Some(self.accept_small(offer, size, by_value))
    }

    #[inline(always)]
    fn accept_small(
        &mut self,
        offer: &SmallOffer<'_>,
        size: usize,
        by_value: ByValue<M>,
    ) -> Pushed {
        let number = self.next;
        self.queue.push_small(offer, by_value);
        let driver = self.count(size);
        Pushed { number, driver }
    }

    /// Allocates the place of one more message. Before the message is taken from where it is: a call between would move
    /// it once more.
    #[inline]
    fn make_place(&mut self) {
        if self.queue.is_at_capacity() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.queue.grow(KEPT);
    }

    /// Queues messages from the front of `msgs` without a permit, as many as there is room for, unless a sender waits for
    /// it. The driver's waker, if one is to be woken.
    pub(crate) fn push_all_at_once(&mut self, msgs: &mut Batch<M>) -> Option<Waker> {
        if self.is_closed() || !self.is_line_empty() {
            return None;
        }
        let (fit, driver) = match self.count_all(msgs) {
            Some(driver) => (msgs.len(), driver),
            None => self.count_each(msgs),
        };
        self.queue.take_from(msgs, fit);
        driver
    }

    /// Counts all of `msgs` as single ones, if they leave room: then none of them fills the queue. The driver's waker, if it
    /// is to be woken.
    fn count_all(&mut self, msgs: &Batch<M>) -> Option<Option<Waker>> {
        let last_size = msgs.last_size()?;
        let messages = self.messages + msgs.len();
        let bytes = self.bytes.saturating_add(msgs.size());
        let leaves_room = messages < self.max_messages && bytes < self.max_bytes;
        if !leaves_room || !self.has_room() || self.reserved > 0 {
            return None;
        }
        if let Some(lease) = &mut self.lease {
            lease.grow(messages, bytes);
            if !lease.has_room(messages, bytes) {
                lease.hold(self.messages, self.bytes);
                return None;
            }
        }
        self.next += msgs.len() as u64;
        (self.messages, self.bytes, self.last_size) = (messages, bytes, last_size);
        let wakes = std::mem::take(&mut self.idle);
        Some(if wakes { self.driver.take() } else { None })
    }

    /// Counts as many of `msgs`, from the front, as there is room for.
    fn count_each(&mut self, msgs: &Batch<M>) -> (usize, Option<Waker>) {
        let (mut fit, mut driver) = (0, None);
        for size in msgs.sizes() {
            if !self.has_room() {
                break;
            }
            let wakes = self.count(size);
            if driver.is_none() {
                driver = wakes;
            }
            fit += 1;
        }
        (fit, driver)
    }

    // Always: what it returns would come back through memory, which takes 6 ns.
    #[inline(always)]
    fn accept(&mut self, msg: Option<M>, size: usize) -> Pushed {
        let number = self.next;
        self.queue.push(msg, size);
        let driver = self.count(size);
        Pushed { number, driver }
    }

    /// Counts a message of `size` as one more that waits. The driver's waker, if it is to be woken.
    #[inline(always)]
    fn count(&mut self, size: usize) -> Option<Waker> {
        self.next += 1;
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.last_size = size;
        self.filled = self.messages >= self.max_messages || self.bytes >= self.max_bytes;
        if let Some(lease) = &mut self.lease {
            lease.grow(self.messages, self.bytes);
            self.filled |= !lease.has_room(self.messages, self.bytes);
        }
        let became_full = self.filled && !self.full;
        if became_full {
            self.full = true;
            self.high_water = Some(Box::new(self.level()));
        }
        // The driver reports a full queue, so that the events of one connection are in order.
        if self.idle || became_full {
            self.idle = false;
            self.driver.take()
        } else {
            None
        }
    }

    pub(crate) fn full(&self) -> SendError {
        SendError::Full {
            messages: self.messages,
            bytes: self.bytes,
        }
    }

    pub(crate) fn disconnected(&self, maybe_sent: bool) -> SendError {
        let reason = match &self.state {
            State::Open => DisconnectReason::Intentional,
            State::Closing(reason) | State::Failed(reason) | State::Closed(reason) => {
                reason.clone()
            }
        };
        SendError::Disconnected { reason, maybe_sent }
    }

    /// Accepts no more messages, because of `reason`. Queued ones are still sent.
    pub(crate) fn close(&mut self, reason: DisconnectReason) -> Wakes {
        let mut wakes = Wakes::default();
        if let State::Open = self.state {
            self.state = State::Closing(reason);
            self.wake_waiters(&mut wakes);
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Wakes the senders that wait: they learn of the end.
    fn wake_waiters(&mut self, wakes: &mut Wakes) {
        for waker in self
            .waiters
            .take()
            .into_iter()
            .flat_map(|waiters| waiters.wakers())
        {
            wakes.push(Some(waker));
        }
    }

    /// Wakes the driver, whatever it waits for.
    pub(crate) fn take_driver(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        wakes.push(self.driver.take());
        wakes
    }

    /// Moves all queued messages into `batch`, which must be empty.
    pub(crate) fn take(&mut self, batch: &mut Batch<M>) {
        self.most = self.most.max(self.queue.len());
        std::mem::swap(&mut self.queue, batch);
    }

    /// True when more memory is held than an idle connection should hold.
    pub(crate) fn can_reclaim(&self, batch: &Batch<M>) -> bool {
        self.queue.capacity().max(batch.capacity()) > KEPT
            || self.queue.holds_small()
            || batch.holds_small()
            || self.message_waiters.capacity() > KEPT_WAITERS
            || self.waiters.is_some()
    }

    /// Frees the memory of empty collections, unless it was needed since the last call. True when it was
    /// not needed.
    pub(crate) fn shrink(&mut self, batch: &mut Batch<M>) -> bool {
        if std::mem::take(&mut self.most) > KEPT {
            return false;
        }
        for queue in [&mut self.queue, batch] {
            queue.shrink();
        }
        if self.message_waiters.is_empty() {
            self.message_waiters = Vec::new();
        }
        if self
            .waiters
            .as_ref()
            .is_some_and(|waiters| waiters.is_empty())
        {
            self.waiters = None;
        }
        true
    }

    /// Registers the driver's waker: woken by a message if the driver is `idle`, and always when a sender
    /// starts to wait or the queue is closed. What `waker` holds afterwards is reused or dropped without the
    /// lock.
    pub(crate) fn register_driver(&mut self, waker: &mut Option<Waker>, idle: bool) {
        self.idle = idle;
        match (&mut self.driver, waker) {
            (Some(driver), Some(waker)) if driver.will_wake(waker) => {}
            (driver, waker) => std::mem::swap(driver, waker),
        }
    }

    /// The driver is being polled: messages need not wake it. Returns the level of a queue that has become
    /// full meanwhile.
    pub(crate) fn driver_runs(&mut self) -> Option<Level> {
        (self.idle, self.aside) = (false, false);
        self.high_water.take().map(|level| *level)
    }

    /// The driver, at the end of a turn, has put the channel aside; or that is not to count any more.
    pub(crate) const fn set_aside(&mut self, aside: bool) {
        self.aside = aside;
    }

    /// The channel is aside, and nothing has changed: nothing has been read, and nothing waits.
    pub(crate) const fn is_aside(&self) -> bool {
        self.aside && self.messages == 0 && !self.has_ended()
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing(_))
    }

    /// The channel holds `bytes`, some beyond its room: encoded in another process, or for a halt. They count as bytes that
    /// wait until it has written them, or else each handover would add a queue.
    pub(crate) fn carry(&mut self, bytes: usize) {
        let queued = self.bytes.saturating_sub(self.carried);
        self.carried = bytes;
        self.hold(self.messages, queued.saturating_add(bytes));
    }

    /// The channel holds `bytes` now. How many it does not carry any more, for [`progress`](Self::progress).
    pub(crate) fn carries_at_most(&mut self, bytes: usize) -> usize {
        let written = self.carried.saturating_sub(bytes);
        self.carried -= written;
        written
    }

    pub(crate) const fn carries(&self) -> bool {
        self.carried > 0
    }

    /// `messages` of `bytes` have been encoded, or were carried and are written; the kernel has taken all before `taken`.
    pub(crate) fn progress(&mut self, messages: usize, bytes: usize, taken: u64) -> Progress {
        let was_filled = self.filled;
        self.hold(
            self.messages.saturating_sub(messages),
            self.bytes.saturating_sub(bytes),
        );
        self.encoded += messages as u64;
        // Others may have returned budget that this one lacked.
        let mut wakes = if messages > 0 || (was_filled && !self.filled) {
            self.grant()
        } else {
            Wakes::default()
        };
        if taken > self.taken {
            self.taken = taken;
            self.reached(taken, &mut wakes);
        }
        let drained = self.full && self.messages == 0;
        self.full &= !drained;
        Progress {
            wakes,
            high_water: self.high_water.take().map(|level| *level),
            drained,
        }
    }

    /// Writing has failed: messages before `encoded` may have been sent, later ones will not be. Senders
    /// learn it now; the end comes later.
    pub(crate) fn fail(&mut self, encoded: u64, reason: DisconnectReason) -> Remains<M> {
        let mut remains = self.stop(encoded, State::Failed(reason));
        self.reached_all(&mut remains.wakes);
        remains
    }

    /// The end. Messages before `encoded` that the kernel is not known to have taken may have been sent.
    pub(crate) fn end(&mut self, encoded: u64, reason: DisconnectReason) -> Remains<M> {
        let mut remains = self.stop(encoded, State::Closed(reason));
        self.reached_end(&mut remains.wakes);
        remains
    }

    fn stop(&mut self, encoded: u64, state: State) -> Remains<M> {
        self.encoded = encoded;
        self.carried = 0;
        self.hold(0, 0);
        let mut wakes = Wakes::default();
        self.wake_waiters(&mut wakes);
        Remains {
            wakes,
            _unsent: std::mem::replace(&mut self.queue, Batch::new()),
            _state: std::mem::replace(&mut self.state, state),
            _driver: self.driver.take(),
        }
    }
}
