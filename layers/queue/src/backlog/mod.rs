//! The queue as a pure machine: what waits, who waits, and how far the kernel has got.
//!
//! In: reservations, messages, progress. Out: messages, and the wakers that the shell is to wake
//! once it has let go of the lock. Touches nothing.
//!
//! Messages are numbered from 0. Three marks divide them: `taken` by the kernel, `encoded` into the
//! write buffer, `next` to be queued. One mark instead of a oneshot for each message is what makes
//! a message cost nanoseconds (a oneshot: some 130).

mod losses;
mod marks;
mod slots;

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use kyneta_uds_core::{DisconnectReason, SharedError};

pub(crate) use self::marks::Seat;
pub(crate) use self::slots::{Slot, Ticket};
use self::{losses::Losses, marks::Sitter, slots::InLine};
use crate::{budget::Lease, config::Overflow, error::SendError};

/// How many messages there is room for at rest.
const KEPT: usize = 1;

/// How many futures that wait for their messages there is room for at rest: what one takes.
const KEPT_WATCHERS: usize = 4;

/// Messages on their way to the channel; no `None` is among them. They are held as their futures hold them, so
/// that they are moved as a whole: one that is unwrapped on the way is read in other pieces than it has just
/// been written in, which takes 5 ns each time.
pub(crate) type Batch<M> = VecDeque<Option<M>>;

#[derive(Debug)]
pub(crate) struct Backlog<M> {
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
    reserved: usize,
    /// As much waits as may. As of when that was last another number: what others that share the budget
    /// do in between is seen with the next message in or out.
    filled: bool,
    /// It was filled, and has not been empty since.
    full: bool,

    next: u64,
    encoded: u64,
    taken: u64,
    refused: BTreeMap<u64, SharedError>,
    /// Refusals of messages before this one may have been forgotten.
    forgotten: u64,
    losses: Losses,

    /// Senders without a slot, in the order they came.
    line: VecDeque<InLine>,
    next_ticket: u64,
    /// Futures that wait for their message, nearly always in order.
    watchers: Vec<(u64, Waker)>,
    /// Futures that wait for a mark or the end.
    seated: Vec<Sitter>,
    next_seat: u64,
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
    Closing,
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

/// A queued message, and whom that concerns.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pushed {
    pub(crate) number: u64,
    /// The level, if this message made the queue full.
    pub(crate) full: Option<Level>,
    /// The driver, if it rests; to be woken without the lock.
    pub(crate) driver: Option<Waker>,
}

/// How full the queue is, for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl<M> Backlog<M> {
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
            reserved: 0,
            filled: false,
            full: false,
            next: 0,
            encoded: 0,
            taken: 0,
            refused: BTreeMap::new(),
            forgotten: 0,
            losses: Losses::default(),
            line: VecDeque::new(),
            next_ticket: 0,
            watchers: Vec::new(),
            seated: Vec::new(),
            next_seat: 0,
            driver: None,
            idle: false,
            state: State::Open,
        }
    }

    fn has_room(&self) -> bool {
        !self.filled && self.messages + self.reserved < self.max_messages
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

    /// Queues a message, using up a slot.
    #[inline]
    pub(crate) fn push(&mut self, msg: M, size: usize) -> Result<Pushed, SendError> {
        self.reserved = self.reserved.saturating_sub(1);
        if self.is_closed() {
            return Err(self.disconnected(false));
        }
        Ok(self.accept(Some(msg), size))
    }

    /// Queues a message without a slot, if there is room and nobody waits for it; else leaves it
    /// where it is.
    #[inline]
    pub(crate) fn push_at_once(&mut self, msg: &mut Option<M>, size: usize) -> Option<Pushed> {
        if msg.is_none() || self.is_closed() || !self.line.is_empty() || !self.has_room() {
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
        self.bytes += size;
        if let Some(lease) = &mut self.lease {
            lease.grow(self.messages, self.bytes);
        }
        if self.queue.capacity() == 0 {
            self.queue.reserve_exact(KEPT);
        }
        self.queue.push_back(msg);
        self.most = self.most.max(self.queue.len());
        let driver = if self.idle {
            self.idle = false;
            self.driver.take()
        } else {
            None
        };
        self.filled = self.is_filled();
        let became_full = self.filled && !self.full;
        self.full |= became_full;
        let full = became_full.then(|| self.level());
        Pushed {
            number,
            full,
            driver,
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
            State::Closed(reason) => reason.clone(),
            State::Open | State::Closing => DisconnectReason::Intentional,
        };
        SendError::Disconnected { reason, maybe_sent }
    }

    /// Lets no more in. What waits is still sent.
    pub(crate) fn close(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if let State::Open = self.state {
            self.state = State::Closing;
            for waits in self.line.drain(..) {
                wakes.push(Some(waits.waker));
            }
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Wakes the driver, whatever it rests for.
    pub(crate) fn rouse(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        wakes.push(self.driver.take());
        wakes
    }

    /// Takes all that waits into `batch`, which must be empty.
    pub(crate) fn take(&mut self, batch: &mut Batch<M>) {
        std::mem::swap(&mut self.queue, batch);
    }

    /// True when more memory is held than a connection at rest should hold.
    pub(crate) fn has_slack(&self, batch: &Batch<M>) -> bool {
        self.queue.capacity().max(batch.capacity()) > KEPT
            || self.watchers.capacity() > KEPT_WATCHERS
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
        if self.watchers.is_empty() {
            self.watchers = Vec::new();
        }
        true
    }

    /// The driver rests: until a message comes if it is `idle`, and in any case until senders
    /// stand in line or the end is asked for.
    pub(crate) fn park(&mut self, waker: &Waker, idle: bool) {
        self.idle = idle;
        match &mut self.driver {
            Some(driver) => driver.clone_from(waker),
            driver => *driver = Some(waker.clone()),
        }
    }

    /// The driver is at work: it takes what waits before it rests again.
    pub(crate) fn awake(&mut self) {
        self.idle = false;
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing)
    }

    /// `messages` of `bytes` have been encoded; the kernel has taken all before `taken`. Returns
    /// true when a queue that was full has become empty.
    pub(crate) fn progress(&mut self, messages: usize, bytes: usize, taken: u64) -> (bool, Wakes) {
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
        (drained, wakes)
    }

    /// The end. All before `encoded` may have been sent, what the kernel has not taken of it.
    /// Returns what was never encoded, to be dropped without the lock.
    pub(crate) fn end(&mut self, encoded: u64, reason: DisconnectReason) -> (Batch<M>, Wakes) {
        self.encoded = encoded;
        self.state = State::Closed(reason);
        self.hold(0, 0);
        let mut wakes = Wakes::default();
        for waits in self.line.drain(..) {
            wakes.push(Some(waits.waker));
        }
        self.reached(u64::MAX, &mut wakes);
        (std::mem::take(&mut self.queue), wakes)
    }
}
