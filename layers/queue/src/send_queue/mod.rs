//! The queue as a pure machine: what waits, who waits, and how far the kernel has got.
//!
//! In: reservations, messages, progress. Out: messages, and the wakers that the shell is to wake
//! once it has let go of the lock. Touches nothing. Whatever is of the user's kind (messages, wakers,
//! errors) comes in as a value and goes out as one: none is cloned or dropped under the lock.
//!
//! Messages are numbered from 0. Three marks divide them: `taken` by the kernel, `encoded` into the
//! write buffer, `next` to be queued. One mark instead of a oneshot for each message is what makes
//! a message cost nanoseconds (a oneshot: some 130).

mod completion;
mod exceptions;
mod losses;
mod permits;

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use kyneta_uds_core::DisconnectReason;

pub(crate) use self::completion::CompletionKey;
pub(crate) use self::permits::{Acquire, Contention, Permit, PermitRequest, WaiterKey};
use self::{exceptions::Exceptions, permits::Waiters};
use crate::{budget::Lease, config::Overflow, error::SendError};

/// How many messages there is room for at rest.
const KEPT: usize = 1;

/// How many futures that wait for their messages there is room for at rest: what one takes.
const KEPT_WAITERS: usize = 4;

/// Messages on their way to the channel; no `None` is among them. They are held as their futures hold them, so
/// that they are moved as a whole: one that is unwrapped on the way is read in other pieces than it has just
/// been written in, which takes 5 ns each time.
pub(crate) type Batch<M> = VecDeque<Queued<M>>;

/// A message that waits, and its size, which is asked for once.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub(crate) msg: Option<M>,
    pub(crate) size: usize,
}

#[derive(Debug)]
pub(crate) struct SendQueue<M> {
    max_messages: usize,
    max_bytes: usize,
    overflow: Overflow,
    lease: Option<Lease>,

    queue: Batch<M>,
    /// The most that have stood in it since that was last asked for.
    most: usize,
    /// Waiting: queued, or taken by the driver and not yet encoded.
    messages: usize,
    bytes: usize,
    /// Of the message that was queued last.
    last_size: usize,
    /// Permits that are held and not used yet, and the bytes that they stand for.
    reserved: usize,
    reserved_bytes: usize,
    epoch: u32,
    /// A sender found the queue full of those permits, and does not wait.
    rejected_full: bool,
    /// Senders wait until the handler has answered what was read ahead.
    yielding: bool,
    /// One may come all the same: none stood in line when one was due.
    one_may_enter: bool,
    /// As much waits as may. As of when that was last another number: what others that share the budget
    /// do in between is seen with the next message in or out.
    filled: bool,
    /// It was filled, and has not been empty since.
    full: bool,
    /// The level when it became full, until the driver has told of it.
    high_water: Option<Box<Level>>,

    next: u64,
    encoded: u64,
    taken: u64,
    exceptions: Option<Box<Exceptions>>,

    /// Senders that wait for a permit. Absent when none does.
    waiters: Option<Box<Waiters>>,
    next_waiter: u64,
    /// Futures that wait for their message, nearly always in order.
    message_waiters: Vec<(u64, Waker)>,
    /// Futures that wait for a mark or the end.
    completions: BTreeMap<CompletionKey, Waker>,
    next_completion: u64,
    /// The driver, while it rests.
    driver: Option<Waker>,
    /// It rests because nothing waits, not because the channel is blocked.
    idle: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// No more are let in; what waits is sent.
    Closing(DisconnectReason),
    /// Writing has failed: nothing more is sent. What the peer said is still read.
    Failed(DisconnectReason),
    Closed(DisconnectReason),
}

/// Wakers to be woken without the lock. Most often none or one.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    fn push(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            Some(waker) => self.rest.push(waker),
            None => {}
        }
    }

    pub(crate) fn wake(self) {
        for waker in self.first.into_iter().chain(self.rest) {
            waker.wake();
        }
    }
}

/// A queued message.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pushed {
    pub(crate) number: u64,
    /// The driver, if it rests; to be woken without the lock.
    pub(crate) driver: Option<Waker>,
}

/// What a step of the driver led to, for the shell to do without the lock.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Progress {
    pub(crate) wakes: Wakes,
    /// The queue has become full since the last step.
    pub(crate) high_water: Option<Level>,
    /// A queue that was full has become empty.
    pub(crate) drained: bool,
}

/// What is left at the end, to be dropped without the lock.
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
            queue: VecDeque::new(),
            most: 0,
            messages: 0,
            bytes: 0,
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
            exceptions: None,
            waiters: None,
            next_waiter: 0,
            message_waiters: Vec::new(),
            completions: BTreeMap::new(),
            next_completion: 0,
            driver: None,
            idle: false,
            state: State::Open,
        }
    }

    /// Less waits now.
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

    /// Queues a message, using up a permit.
    #[inline]
    pub(crate) fn push(&mut self, msg: Option<M>, size: usize, permit: Permit) -> Pushed {
        self.unreserve(permit);
        self.accept(msg, size)
    }

    /// Queues a message without a permit, if there is room and no sender waits for it; else leaves it
    /// where it is.
    #[inline]
    pub(crate) fn push_at_once(&mut self, msg: &mut Option<M>, size: usize) -> Option<Pushed> {
        if msg.is_none() || self.is_closed() || !self.has_room() || !self.is_line_empty() {
            return None;
        }
        Some(self.accept(msg.take(), size))
    }

    // Always: what it returns would come back through memory, which takes 6 ns.
    #[inline(always)]
    fn accept(&mut self, msg: Option<M>, size: usize) -> Pushed {
        let number = self.next;
        self.next += 1;
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.last_size = size;
        if let Some(lease) = &mut self.lease {
            lease.grow(self.messages, self.bytes);
        }
        if self.queue.capacity() == 0 {
            self.queue.reserve_exact(KEPT);
        }
        self.queue.push_back(Queued { msg, size });
        self.most = self.most.max(self.queue.len());
        self.filled = self.is_filled();
        let became_full = self.filled && !self.full;
        if became_full {
            self.full = true;
            self.high_water = Some(Box::new(self.level()));
        }
        // The driver tells of a full queue: events of one connection are in order.
        let driver = if self.idle || became_full {
            self.idle = false;
            self.driver.take()
        } else {
            None
        };
        Pushed { number, driver }
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

    /// Lets no more in, because of `reason`. What waits is still sent.
    pub(crate) fn close(&mut self, reason: DisconnectReason) -> Wakes {
        let mut wakes = Wakes::default();
        if let State::Open = self.state {
            self.state = State::Closing(reason);
            self.wake_waiters(&mut wakes);
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Senders in line learn of the end.
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

    /// Wakes the driver, whatever it rests for.
    pub(crate) fn take_driver(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        wakes.push(self.driver.take());
        wakes
    }

    /// Takes all that waits into `batch`, which must be empty.
    pub(crate) fn take(&mut self, batch: &mut Batch<M>) {
        std::mem::swap(&mut self.queue, batch);
    }

    /// True when more memory is held than a connection at rest should hold.
    pub(crate) fn can_reclaim(&self, batch: &Batch<M>) -> bool {
        self.queue.capacity().max(batch.capacity()) > KEPT
            || self.message_waiters.capacity() > KEPT_WAITERS
            || self.waiters.is_some()
    }

    /// Gives back the memory of what is empty, unless that was needed since this was last asked for.
    /// True when it was not.
    pub(crate) fn shrink(&mut self, batch: &mut Batch<M>) -> bool {
        if std::mem::take(&mut self.most) > KEPT {
            return false;
        }
        for queue in [&mut self.queue, batch] {
            if queue.is_empty() {
                *queue = VecDeque::new();
            }
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

    /// The driver rests: until a message comes if it is `idle`, and in any case until senders
    /// stand in line or the end is asked for. `waker` is the driver's; what it holds afterwards is kept for
    /// the next rest, or dropped without the lock.
    pub(crate) fn register_driver(&mut self, waker: &mut Option<Waker>, idle: bool) {
        self.idle = idle;
        match (&mut self.driver, waker) {
            (Some(driver), Some(waker)) if driver.will_wake(waker) => {}
            (driver, waker) => std::mem::swap(driver, waker),
        }
    }

    /// The driver is at work: it takes what waits before it rests again. Returns the level of a queue
    /// that has become full meanwhile.
    pub(crate) fn driver_runs(&mut self) -> Option<Level> {
        self.idle = false;
        self.high_water.take().map(|level| *level)
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing(_))
    }

    /// `messages` of `bytes` have been encoded; the kernel has taken all before `taken`.
    pub(crate) fn progress(&mut self, messages: usize, bytes: usize, taken: u64) -> Progress {
        let was_filled = self.filled;
        self.hold(
            self.messages.saturating_sub(messages),
            self.bytes.saturating_sub(bytes),
        );
        self.encoded += messages as u64;
        // Others may have given back what this one lacked.
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

    /// Writing has failed: all before `encoded` may have been sent, nothing after it will be. Senders
    /// learn of it; the end is later.
    pub(crate) fn fail(&mut self, encoded: u64, reason: DisconnectReason) -> Remains<M> {
        let mut remains = self.stop(encoded, State::Failed(reason));
        self.reached_all(&mut remains.wakes);
        remains
    }

    /// The end. All before `encoded` may have been sent, but for what the kernel is known to have taken.
    pub(crate) fn end(&mut self, encoded: u64, reason: DisconnectReason) -> Remains<M> {
        let mut remains = self.stop(encoded, State::Closed(reason));
        self.reached_end(&mut remains.wakes);
        remains
    }

    fn stop(&mut self, encoded: u64, state: State) -> Remains<M> {
        self.encoded = encoded;
        self.hold(0, 0);
        let mut wakes = Wakes::default();
        self.wake_waiters(&mut wakes);
        Remains {
            wakes,
            _unsent: std::mem::take(&mut self.queue),
            _state: std::mem::replace(&mut self.state, state),
            _driver: self.driver.take(),
        }
    }
}
