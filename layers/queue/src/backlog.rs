//! The queue as a pure machine: what waits, who waits, and how far the kernel has got.
//!
//! In: reservations, messages, progress. Out: messages, and the wakers that the shell is to wake
//! once it has let go of the lock. Touches nothing.
//!
//! Messages are numbered from 0. Three marks divide them: `taken` by the kernel, `encoded` into the
//! write buffer, `next` to be queued. One mark instead of a oneshot for each message is what makes
//! a message cost nanoseconds (a oneshot: some 130).

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use kyneta_uds_core::{DisconnectReason, SharedError};

use crate::{config::Overflow, error::SendError};

/// How many refusals are kept for futures that have not asked yet.
const MAX_REFUSALS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Backlog<M> {
    max_messages: usize,
    max_bytes: usize,
    overflow: Overflow,

    queue: VecDeque<M>,
    /// Waiting: queued, or taken by the driver and not yet encoded.
    messages: usize,
    bytes: usize,
    reserved: usize,
    full: bool,

    next: u64,
    encoded: u64,
    taken: u64,
    refused: BTreeMap<u64, SharedError>,

    /// Senders without a slot, in the order they came.
    line: VecDeque<InLine>,
    next_ticket: u64,
    /// Futures that wait for a mark, nearly always in order.
    watchers: Vec<(u64, Waker)>,
    closers: Vec<Waker>,
    driver: Option<Waker>,
    state: State,
}

#[derive(Debug)]
struct InLine {
    ticket: u64,
    waker: Waker,
    granted: bool,
}

#[derive(Debug)]
enum State {
    Open,
    /// No more are let in; what waits is sent.
    Closing,
    Closed(DisconnectReason),
}

/// A place in the line of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What a sender that asks for a slot gets.
#[derive(Debug)]
pub(crate) enum Slot {
    Reserved,
    Wait(Ticket),
    /// The policy is to fail.
    Full,
    Closed,
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
        self.first
            .into_iter()
            .chain(self.rest)
            .for_each(Waker::wake);
    }
}

/// How full the queue is, for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl<M> Backlog<M> {
    pub(crate) fn new(max_messages: usize, max_bytes: usize, overflow: Overflow) -> Self {
        Self {
            max_messages,
            max_bytes,
            overflow,
            queue: VecDeque::new(),
            messages: 0,
            bytes: 0,
            reserved: 0,
            full: false,
            next: 0,
            encoded: 0,
            taken: 0,
            refused: BTreeMap::new(),
            line: VecDeque::new(),
            next_ticket: 0,
            watchers: Vec::new(),
            closers: Vec::new(),
            driver: None,
            state: State::Open,
        }
    }

    fn has_room(&self) -> bool {
        self.messages + self.reserved < self.max_messages && self.bytes < self.max_bytes
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

    // ---- senders ----

    /// Asks for a slot; `ticket` is what an earlier asking got.
    pub(crate) fn reserve(&mut self, ticket: Option<Ticket>, waker: &Waker) -> (Slot, Wakes) {
        let mut wakes = Wakes::default();
        if self.is_closed() {
            return (Slot::Closed, wakes);
        }
        if let Some(ticket) = ticket {
            return (self.ask_again(ticket, waker), wakes);
        }
        if self.line.is_empty() && self.has_room() {
            self.reserved += 1;
            return (Slot::Reserved, wakes);
        }
        if self.overflow == Overflow::Fail {
            return (Slot::Full, wakes);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.line.push_back(InLine {
            ticket,
            waker: waker.clone(),
            granted: false,
        });
        if let Overflow::Disconnect { .. } = self.overflow {
            // The driver keeps the time that the queue stays full.
            wakes.push(self.driver.take());
        }
        (Slot::Wait(Ticket(ticket)), wakes)
    }

    fn ask_again(&mut self, Ticket(ticket): Ticket, waker: &Waker) -> Slot {
        // Tickets ascend along the line.
        let Ok(at) = self
            .line
            .binary_search_by_key(&ticket, |waits| waits.ticket)
        else {
            return Slot::Closed;
        };
        match self.line.get_mut(at) {
            Some(waits) if !waits.granted => {
                waits.waker.clone_from(waker);
                Slot::Wait(Ticket(ticket))
            }
            _ => {
                self.line.remove(at);
                Slot::Reserved
            }
        }
    }

    /// Gives back a slot that was not used.
    pub(crate) fn release(&mut self) -> Wakes {
        self.reserved = self.reserved.saturating_sub(1);
        self.grant()
    }

    /// Leaves the line.
    pub(crate) fn leave(&mut self, Ticket(ticket): Ticket) -> Wakes {
        match self
            .line
            .binary_search_by_key(&ticket, |waits| waits.ticket)
        {
            Ok(at) => match self.line.remove(at) {
                Some(waits) if waits.granted => self.release(),
                _ => Wakes::default(),
            },
            Err(_) => Wakes::default(),
        }
    }

    /// Hands free slots to those who wait longest.
    fn grant(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        // Those granted stand at the front until they have asked again.
        let mut at = self.line.iter().take_while(|waits| waits.granted).count();
        while self.has_room() {
            let Some(waits) = self.line.get_mut(at) else {
                break;
            };
            waits.granted = true;
            wakes.push(Some(waits.waker.clone()));
            self.reserved += 1;
            at += 1;
        }
        wakes
    }

    /// Queues a message, using up a slot. Returns its number, and the level if it made it full.
    pub(crate) fn push(
        &mut self,
        msg: M,
        size: usize,
    ) -> Result<(u64, Option<Level>, Wakes), SendError> {
        self.reserved = self.reserved.saturating_sub(1);
        if self.is_closed() {
            return Err(self.disconnected(false));
        }
        let number = self.next;
        self.next += 1;
        self.messages += 1;
        self.bytes += size;
        self.queue.push_back(msg);
        let mut wakes = Wakes::default();
        wakes.push(self.driver.take());
        let became_full =
            !self.full && (self.messages >= self.max_messages || self.bytes >= self.max_bytes);
        self.full |= became_full;
        Ok((number, became_full.then(|| self.level()), wakes))
    }

    /// Takes a slot on the spot, for a `call` that nobody asked room for.
    pub(crate) fn try_reserve(&mut self) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(self.disconnected(false));
        }
        if !self.line.is_empty() || !self.has_room() {
            return Err(self.full());
        }
        self.reserved += 1;
        Ok(())
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

    /// What became of message `number`; `None` while that is open, and `waker` is woken when not.
    pub(crate) fn outcome(&mut self, number: u64, waker: &Waker) -> Option<Result<(), SendError>> {
        if let Some(error) = self.refused.remove(&number) {
            return Some(Err(SendError::Refused(error)));
        }
        if number < self.taken {
            return Some(Ok(()));
        }
        if let State::Closed(_) = self.state {
            return Some(Err(self.disconnected(number < self.encoded)));
        }
        self.watch(number, waker);
        None
    }

    /// The number after the last message queued so far.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Ready when all before `mark` are with the kernel.
    pub(crate) fn flushed(&mut self, mark: u64, waker: &Waker) -> Option<Result<(), SendError>> {
        match mark.checked_sub(1) {
            None => Some(Ok(())),
            Some(last) if last < self.taken => Some(Ok(())),
            Some(last) => match self.state {
                State::Closed(_) => Some(Err(self.disconnected(last < self.encoded))),
                _ => {
                    self.watch(last, waker);
                    None
                }
            },
        }
    }

    fn watch(&mut self, number: u64, waker: &Waker) {
        let at = self.watchers.partition_point(|(other, _)| *other <= number);
        let known = self.watchers.get(..at).unwrap_or_default().iter().rev();
        let known = known
            .take_while(|(other, _)| *other == number)
            .any(|(_, w)| w.will_wake(waker));
        if !known {
            self.watchers.insert(at, (number, waker.clone()));
        }
    }

    /// Forgets what a dropped future would have asked for.
    pub(crate) fn forget(&mut self, number: u64) {
        self.refused.remove(&number);
    }

    pub(crate) fn closed(&mut self, waker: &Waker) -> Option<DisconnectReason> {
        if let State::Closed(reason) = &self.state {
            return Some(reason.clone());
        }
        if !self.closers.iter().any(|known| known.will_wake(waker)) {
            self.closers.push(waker.clone());
        }
        None
    }

    /// Lets no more in. What waits is still sent.
    pub(crate) fn close(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if let State::Open = self.state {
            self.state = State::Closing;
            self.line
                .drain(..)
                .for_each(|waits| wakes.push(Some(waits.waker)));
            wakes.push(self.driver.take());
        }
        wakes
    }

    // ---- the driver ----

    /// Takes all that waits into `batch`, which must be empty.
    pub(crate) fn take(&mut self, batch: &mut VecDeque<M>) {
        std::mem::swap(&mut self.queue, batch);
    }

    /// Registers the driver, unless there is work.
    pub(crate) fn park(&mut self, waker: &Waker) -> bool {
        if !self.queue.is_empty() {
            return false;
        }
        match &mut self.driver {
            Some(driver) => driver.clone_from(waker),
            driver => *driver = Some(waker.clone()),
        }
        true
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing)
    }

    /// True while senders stand in line and no slot is free.
    pub(crate) fn is_stuck(&self) -> bool {
        self.line.iter().any(|waits| !waits.granted)
    }

    /// `messages` of `bytes` have been encoded; the kernel has taken all before `taken`. Returns
    /// true when a queue that was full has become empty.
    pub(crate) fn progress(&mut self, messages: usize, bytes: usize, taken: u64) -> (bool, Wakes) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.encoded += messages as u64;
        let mut wakes = if messages > 0 {
            self.grant()
        } else {
            Wakes::default()
        };
        if taken > self.taken {
            self.taken = taken;
            let done = self.watchers.partition_point(|(number, _)| *number < taken);
            self.watchers
                .drain(..done)
                .for_each(|(_, waker)| wakes.push(Some(waker)));
        }
        let drained = self.full && self.messages == 0;
        self.full &= !drained;
        (drained, wakes)
    }

    /// Message `number` could not be encoded.
    pub(crate) fn refuse(&mut self, number: u64, error: SharedError) {
        if self.refused.len() >= MAX_REFUSALS {
            self.refused.pop_first();
        }
        self.refused.insert(number, error);
    }

    /// The end. All before `encoded` may have been sent, what the kernel has not taken of it.
    pub(crate) fn end(&mut self, encoded: u64, reason: DisconnectReason) -> Wakes {
        self.encoded = encoded;
        self.state = State::Closed(reason);
        self.queue = VecDeque::new();
        (self.messages, self.bytes) = (0, 0);
        let mut wakes = Wakes::default();
        self.line
            .drain(..)
            .for_each(|waits| wakes.push(Some(waits.waker)));
        self.watchers
            .drain(..)
            .for_each(|(_, waker)| wakes.push(Some(waker)));
        self.closers
            .drain(..)
            .for_each(|waker| wakes.push(Some(waker)));
        wakes
    }
}
