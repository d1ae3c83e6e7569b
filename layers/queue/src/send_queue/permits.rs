//! Permits: which sender may queue a message now, and in which order the others wait.
//!
//! In: senders that ask for room. Out: permits, waiter keys, and wakers that the shell wakes or drops
//! without the lock. Touches nothing.
//!
//! A message with a permit is always accepted. A permit counts against both bounds from the moment that
//! it is granted, with the size of its message if that is known, else with the usual size.

use std::{collections::BTreeMap, task::Waker};

use super::{SendQueue, wakes::Wakes};
use crate::{config::Overflow, error::SendError};

/// Identifies a sender that waits for a permit; in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaiterKey(u64);

/// Capacity that a sender has reserved and not used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit {
    bytes: usize,
    /// Permits of an earlier epoch have expired.
    epoch: u32,
}

/// The answer to a sender that asks for a permit.
#[derive(Debug)]
pub(crate) enum Acquire {
    Permit(Permit),
    Wait(WaiterKey),
    /// The policy is to fail.
    Full,
    Closed(SendError),
}

/// A request for a permit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PermitRequest {
    /// It comes from this connection's own handler, which goes before other senders.
    pub(crate) answers: bool,
    /// The size of the message, if known.
    pub(crate) size: Option<usize>,
}

/// A sender that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    size: Option<usize>,
    waker: Waker,
}

/// Senders that wait for a permit, and permits that are granted and not collected; by key.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    senders: BTreeMap<u64, Waiter>,
    /// The connection's own handler, while it waits to answer.
    answers: BTreeMap<u64, Waiter>,
    /// Permits of senders that waited and have not polled again.
    granted: BTreeMap<u64, Permit>,
}

impl Waiters {
    fn no_sender_waits(&self) -> bool {
        self.senders.is_empty() && self.answers.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.no_sender_waits() && self.granted.is_empty()
    }

    pub(super) fn wakers(self) -> impl Iterator<Item = Waker> {
        let waits = self.senders.into_values().chain(self.answers.into_values());
        waits.map(|waits| waits.waker)
    }

    fn waits(&mut self, key: u64) -> Option<&mut Waiter> {
        match self.senders.get_mut(&key) {
            None => self.answers.get_mut(&key),
            waits => waits,
        }
    }

    fn remove(&mut self, key: u64) -> Option<Waiter> {
        match self.senders.remove(&key) {
            None => self.answers.remove(&key),
            waits => waits,
        }
    }
}

/// Why senders wait, or are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Contention {
    /// No sender waits, and none was rejected.
    #[default]
    None,
    /// Messages fill the queue.
    Messages,
    /// No message waits: permits that are not used fill the queue.
    IdlePermits,
}

impl<M> SendQueue<M> {
    fn fits(&self) -> bool {
        self.messages + self.reserved < self.max_messages
            && self.bytes.saturating_add(self.reserved_bytes) < self.max_bytes
    }

    /// Whether a handler's answer may have a permit.
    fn has_room_to_answer(&self) -> bool {
        !self.filled && (self.reserved == 0 || self.fits())
    }

    /// Whether any sender may have a permit.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.yielding && self.has_room_to_answer()
    }

    /// Whether one sender may have a permit while the others wait for the handler.
    fn may_one_enter(&self) -> bool {
        self.one_may_enter && self.has_room_to_answer()
    }

    fn reserve(&mut self, size: Option<usize>) -> Permit {
        let queued = self.bytes.saturating_sub(self.carried);
        let average = queued.checked_div(self.messages).unwrap_or(0);
        let bytes = size.unwrap_or(average.max(self.last_size));
        self.reserved += 1;
        self.reserved_bytes = self.reserved_bytes.saturating_add(bytes);
        Permit {
            bytes,
            epoch: self.epoch,
        }
    }

    /// A permit is used, or given back.
    pub(super) fn unreserve(&mut self, permit: Permit) {
        if permit.epoch == self.epoch {
            self.reserved = self.reserved.saturating_sub(1);
            self.reserved_bytes = self.reserved_bytes.saturating_sub(permit.bytes);
            self.rejected_full = false;
        }
    }

    /// A permit at once, for a sender that does not wait yet. `None`: it must wait.
    pub(crate) fn try_acquire(&mut self, asks: PermitRequest) -> Option<Acquire> {
        if self.is_closed() {
            return Some(Acquire::Closed(self.disconnected(false)));
        }
        let free = match asks.answers {
            true => self.no_answer_waits() && self.has_room_to_answer(),
            false => self.is_line_empty() && (self.has_room() || self.may_one_enter()),
        };
        if free {
            self.one_may_enter &= asks.answers;
            return Some(Acquire::Permit(self.reserve(asks.size)));
        }
        (self.overflow == Overflow::Fail).then_some(Acquire::Full)
    }

    /// As [`try_acquire`](Self::try_acquire); without a permit the sender waits, and `waker` is taken.
    pub(crate) fn acquire_or_wait(
        &mut self,
        asks: PermitRequest,
        waker: &mut Option<Waker>,
    ) -> (Acquire, Wakes) {
        let mut wakes = Wakes::default();
        if let Some(permit) = self.try_acquire(asks) {
            return (permit, wakes);
        }
        let key = self.next_waiter;
        self.next_waiter += 1;
        if let Some(waker) = waker.take() {
            let size = asks.size;
            let waiters = self.waiters.get_or_insert_default();
            let line = match asks.answers {
                true => &mut waiters.answers,
                false => &mut waiters.senders,
            };
            line.insert(key, Waiter { size, waker });
        }
        if matches!(self.overflow, Overflow::Disconnect { .. }) || self.messages == 0 {
            // The driver measures how long senders wait.
            wakes.push(self.driver.take());
        }
        (Acquire::Wait(WaiterKey(key)), wakes)
    }

    /// Polls again for a permit. If `waker` replaces the former one, it holds that one afterwards.
    pub(crate) fn poll_acquire(
        &mut self,
        WaiterKey(key): WaiterKey,
        waker: &mut Option<Waker>,
    ) -> Acquire {
        if self.is_closed() {
            return Acquire::Closed(self.disconnected(false));
        }
        let Some(waiters) = &mut self.waiters else {
            return Acquire::Closed(self.disconnected(false));
        };
        if let Some(permit) = waiters.granted.remove(&key) {
            return Acquire::Permit(permit);
        }
        match (waiters.waits(key), waker) {
            (Some(waits), Some(waker)) => {
                if !waits.waker.will_wake(waker) {
                    std::mem::swap(&mut waits.waker, waker);
                }
                Acquire::Wait(WaiterKey(key))
            }
            _ => Acquire::Closed(self.disconnected(false)),
        }
    }

    /// Gives back a permit that was not used.
    pub(crate) fn release(&mut self, permit: Permit) -> Wakes {
        self.unreserve(permit);
        let mut wakes = self.grant();
        if self.yielding {
            // The driver may admit another sender.
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Stops waiting; a permit that was granted goes to the next sender. Drop the waker without the lock.
    pub(crate) fn cancel_wait(&mut self, key: WaiterKey) -> (Wakes, Option<Waker>) {
        match self.take_granted(key) {
            (Some(permit), _) => (self.release(permit), None),
            (None, waker) => (Wakes::default(), waker),
        }
    }

    /// Stops waiting: returns the permit if one was granted, else the waker, to be dropped without the lock.
    pub(crate) fn take_granted(
        &mut self,
        WaiterKey(key): WaiterKey,
    ) -> (Option<Permit>, Option<Waker>) {
        let Some(waiters) = &mut self.waiters else {
            return (None, None);
        };
        let permit = waiters.granted.remove(&key);
        (permit, waiters.remove(key).map(|waits| waits.waker))
    }

    /// Grants free permits to answers first, then to other senders in order of arrival.
    pub(super) fn grant(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        while self.has_room_to_answer()
            && let Some(waiters) = &mut self.waiters
            && let Some((key, waits)) = waiters.answers.pop_first()
        {
            self.grant_to(key, waits, &mut wakes);
        }
        while self.has_room() && self.grant_one(&mut wakes) {}
        wakes
    }

    /// Grants a permit to the first sender in the queue. False when none waits.
    fn grant_one(&mut self, wakes: &mut Wakes) -> bool {
        let first = self
            .waiters
            .as_mut()
            .and_then(|waiters| waiters.senders.pop_first());
        match first {
            Some((key, waits)) => {
                self.grant_to(key, waits, wakes);
                true
            }
            None => false,
        }
    }

    fn grant_to(&mut self, key: u64, waits: Waiter, wakes: &mut Wakes) {
        let permit = self.reserve(waits.size);
        self.waiters
            .get_or_insert_default()
            .granted
            .insert(key, permit);
        wakes.push(Some(waits.waker));
    }

    /// A permit at once, for a `call` without `poll_ready`.
    pub(crate) fn acquire_now(&mut self, asks: PermitRequest) -> Result<Permit, SendError> {
        match self.try_acquire(asks) {
            Some(Acquire::Permit(permit)) => Ok(permit),
            Some(Acquire::Closed(error)) => Err(error),
            Some(Acquire::Full | Acquire::Wait(_)) | None => Err(self.full()),
        }
    }

    #[inline]
    pub(super) fn is_line_empty(&self) -> bool {
        self.waiters
            .as_ref()
            .is_none_or(|waiters| waiters.no_sender_waits())
    }

    fn no_answer_waits(&self) -> bool {
        self.waiters
            .as_ref()
            .is_none_or(|waiters| waiters.answers.is_empty())
    }

    /// A sender was rejected because the queue is full. If unused permits alone fill it, the driver starts
    /// their deadline, as it does when a sender waits.
    #[cold]
    pub(crate) fn reject_full(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if self.messages == 0 && self.reserved > 0 && !self.rejected_full {
            self.rejected_full = true;
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Whether senders wait, and for what.
    pub(crate) fn contention(&self) -> Contention {
        match self.messages {
            0 if self.rejected_full => Contention::IdlePermits,
            _ if self.is_line_empty() => Contention::None,
            0 => Contention::IdlePermits,
            _ => Contention::Messages,
        }
    }

    /// Unused permits stop counting against the bounds. They stay valid, so the bounds may be exceeded by
    /// one message of each handle.
    pub(crate) fn expire_permits(&mut self) -> Wakes {
        self.epoch = self.epoch.wrapping_add(1);
        self.reserved = 0;
        self.reserved_bytes = 0;
        self.rejected_full = false;
        self.grant()
    }

    /// Whether senders wait until the handler has answered what was read ahead.
    pub(crate) fn yield_to_handler(&mut self, yielding: bool) -> Wakes {
        self.yielding = yielding;
        self.one_may_enter = false;
        self.grant()
    }

    /// Admits one sender that waits for the handler, or the next one that asks: senders that do not wait are
    /// told that the queue is full, and try again.
    pub(crate) fn admit_one(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if self.has_room_to_answer() {
            self.one_may_enter = !self.grant_one(&mut wakes);
        }
        wakes
    }
}

#[cfg(test)]
mod walk;
