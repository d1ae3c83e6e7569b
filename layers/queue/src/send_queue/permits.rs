//! Slots: who may queue a message now, and who waits for it in which order.
//!
//! In: senders that ask for room. Out: slots, tickets, and wakers that the shell wakes or drops once it
//! has let go of the lock. Touches nothing.
//!
//! A slot is a promise: a message with one is let in. It counts against both bounds from the moment that
//! it is given, with the size of the message where that is known and with what a message holds at
//! present where it is not.

use std::{collections::BTreeMap, task::Waker};

use super::{Backlog, Wakes};
use crate::{config::Overflow, error::SendError};

/// A place in the line of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Room that a sender holds and has not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    bytes: usize,
    /// Slots of an earlier epoch have been written off.
    epoch: u32,
}

/// What a sender that asks for a slot gets.
#[derive(Debug)]
pub(crate) enum Slot {
    Reserved(Reserved),
    Wait(Ticket),
    /// The policy is to fail.
    Full,
    Closed(SendError),
}

/// Who asks for a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    /// The handler of this connection, for an answer: others do not come before it.
    pub(crate) answers: bool,
    /// The size of the message, where it is there already.
    pub(crate) size: Option<usize>,
}

/// A sender that waits.
#[derive(Debug)]
pub(super) struct InLine {
    size: Option<usize>,
    waker: Waker,
}

/// Senders without a slot, and slots that have not been taken up. By ticket, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Lines {
    senders: BTreeMap<u64, InLine>,
    /// The connection's own handler, where it waits to answer.
    answers: BTreeMap<u64, InLine>,
    /// Slots of senders that stood in line and have not asked again.
    granted: BTreeMap<u64, Reserved>,
}

impl Lines {
    fn none_waits(&self) -> bool {
        self.senders.is_empty() && self.answers.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.none_waits() && self.granted.is_empty()
    }

    pub(super) fn wakers(self) -> impl Iterator<Item = Waker> {
        let waits = self.senders.into_values().chain(self.answers.into_values());
        waits.map(|waits| waits.waker)
    }

    fn waits(&mut self, ticket: u64) -> Option<&mut InLine> {
        match self.senders.get_mut(&ticket) {
            None => self.answers.get_mut(&ticket),
            waits => waits,
        }
    }

    fn remove(&mut self, ticket: u64) -> Option<InLine> {
        match self.senders.remove(&ticket) {
            None => self.answers.remove(&ticket),
            waits => waits,
        }
    }
}

/// Why senders stand in line, or are turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// None does, and none is.
    No,
    /// Messages wait.
    Behind,
    /// No message waits: all room is held by slots that are not used.
    Idle,
}

impl<M> Backlog<M> {
    fn fits(&self) -> bool {
        self.messages + self.reserved < self.max_messages
            && self.bytes.saturating_add(self.reserved_bytes) < self.max_bytes
    }

    /// May a handler's answer have a slot?
    fn has_room_to_answer(&self) -> bool {
        !self.filled && (self.reserved == 0 || self.fits())
    }

    /// May any sender have a slot?
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.yielding && self.has_room_to_answer()
    }

    /// May a sender have a slot although the others wait for the handler?
    fn may_one_come(&self) -> bool {
        self.one_may_come && self.has_room_to_answer()
    }

    fn hold_slot(&mut self, size: Option<usize>) -> Reserved {
        let average = self.bytes.checked_div(self.messages).unwrap_or(0);
        let bytes = size.unwrap_or(average.max(self.last_size));
        self.reserved += 1;
        self.reserved_bytes = self.reserved_bytes.saturating_add(bytes);
        Reserved {
            bytes,
            epoch: self.epoch,
        }
    }

    /// A slot is used, or given back.
    pub(super) fn let_go(&mut self, slot: Reserved) {
        if slot.epoch == self.epoch {
            self.reserved = self.reserved.saturating_sub(1);
            self.reserved_bytes = self.reserved_bytes.saturating_sub(slot.bytes);
            self.turned_away = false;
        }
    }

    /// A slot on the spot, for a sender without a place in the line. `None`: it has to wait for one.
    pub(crate) fn ask(&mut self, asks: Asks) -> Option<Slot> {
        if self.is_closed() {
            return Some(Slot::Closed(self.disconnected(false)));
        }
        let free = match asks.answers {
            true => self.no_answer_waits() && self.has_room_to_answer(),
            false => self.is_line_empty() && (self.has_room() || self.may_one_come()),
        };
        if free {
            self.one_may_come &= asks.answers;
            return Some(Slot::Reserved(self.hold_slot(asks.size)));
        }
        (self.overflow == Overflow::Fail).then_some(Slot::Full)
    }

    /// As [`ask`](Self::ask), with a place in the line where there is no slot. `waker` is taken then.
    pub(crate) fn stand(&mut self, asks: Asks, waker: &mut Option<Waker>) -> (Slot, Wakes) {
        let mut wakes = Wakes::default();
        if let Some(slot) = self.ask(asks) {
            return (slot, wakes);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if let Some(waker) = waker.take() {
            let size = asks.size;
            let lines = self.lines.get_or_insert_default();
            let line = match asks.answers {
                true => &mut lines.answers,
                false => &mut lines.senders,
            };
            line.insert(ticket, InLine { size, waker });
        }
        if matches!(self.overflow, Overflow::Disconnect { .. }) || self.messages == 0 {
            // The driver keeps the time that senders stand in line.
            wakes.push(self.driver.take());
        }
        (Slot::Wait(Ticket(ticket)), wakes)
    }

    /// Asks again. `waker` is given another one back where it takes its place.
    pub(crate) fn ask_again(&mut self, Ticket(ticket): Ticket, waker: &mut Option<Waker>) -> Slot {
        if self.is_closed() {
            return Slot::Closed(self.disconnected(false));
        }
        let Some(lines) = &mut self.lines else {
            return Slot::Closed(self.disconnected(false));
        };
        if let Some(slot) = lines.granted.remove(&ticket) {
            return Slot::Reserved(slot);
        }
        match (lines.waits(ticket), waker) {
            (Some(waits), Some(waker)) => {
                if !waits.waker.will_wake(waker) {
                    std::mem::swap(&mut waits.waker, waker);
                }
                Slot::Wait(Ticket(ticket))
            }
            _ => Slot::Closed(self.disconnected(false)),
        }
    }

    /// Gives back a slot that was not used.
    pub(crate) fn release(&mut self, slot: Reserved) -> Wakes {
        self.let_go(slot);
        let mut wakes = self.grant();
        if self.yielding {
            // The driver lets another sender in.
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Leaves the line: a slot that had been granted is given to others. What is returned second is to
    /// be dropped without the lock.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> (Wakes, Option<Waker>) {
        match self.redeem(ticket) {
            (Some(slot), _) => (self.release(slot), None),
            (None, waker) => (Wakes::default(), waker),
        }
    }

    /// Leaves the line, with the slot if one had been granted, else with the waker, to be dropped without
    /// the lock.
    pub(crate) fn redeem(&mut self, Ticket(ticket): Ticket) -> (Option<Reserved>, Option<Waker>) {
        let Some(lines) = &mut self.lines else {
            return (None, None);
        };
        let slot = lines.granted.remove(&ticket);
        (slot, lines.remove(ticket).map(|waits| waits.waker))
    }

    /// Hands free slots to answers first, then to senders that wait longest.
    pub(super) fn grant(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        while self.has_room_to_answer()
            && let Some(lines) = &mut self.lines
            && let Some((ticket, waits)) = lines.answers.pop_first()
        {
            self.grant_to(ticket, waits, &mut wakes);
        }
        while self.has_room() && self.grant_one(&mut wakes) {}
        wakes
    }

    /// Hands a slot to the sender that waits longest. False when none does.
    fn grant_one(&mut self, wakes: &mut Wakes) -> bool {
        let first = self
            .lines
            .as_mut()
            .and_then(|lines| lines.senders.pop_first());
        match first {
            Some((ticket, waits)) => {
                self.grant_to(ticket, waits, wakes);
                true
            }
            None => false,
        }
    }

    fn grant_to(&mut self, ticket: u64, waits: InLine, wakes: &mut Wakes) {
        let slot = self.hold_slot(waits.size);
        self.lines
            .get_or_insert_default()
            .granted
            .insert(ticket, slot);
        wakes.push(Some(waits.waker));
    }

    /// Takes a slot on the spot, for a `call` that came without one.
    pub(crate) fn take_slot(&mut self, asks: Asks) -> Result<Reserved, SendError> {
        match self.ask(asks) {
            Some(Slot::Reserved(slot)) => Ok(slot),
            Some(Slot::Closed(error)) => Err(error),
            Some(Slot::Full | Slot::Wait(_)) | None => Err(self.full()),
        }
    }

    #[inline]
    pub(super) fn is_line_empty(&self) -> bool {
        self.lines.as_ref().is_none_or(|lines| lines.none_waits())
    }

    fn no_answer_waits(&self) -> bool {
        self.lines
            .as_ref()
            .is_none_or(|lines| lines.answers.is_empty())
    }

    /// A sender is told that the queue is full. If slots alone fill it, they do so no longer than if the
    /// sender stood in line: the driver keeps the time.
    #[cold]
    pub(crate) fn turn_away(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if self.messages == 0 && self.reserved > 0 && !self.turned_away {
            self.turned_away = true;
            wakes.push(self.driver.take());
        }
        wakes
    }

    /// Whether senders stand in line, and for what.
    pub(crate) fn stuck(&self) -> Stuck {
        match self.messages {
            0 if self.turned_away => Stuck::Idle,
            _ if self.is_line_empty() => Stuck::No,
            0 => Stuck::Idle,
            _ => Stuck::Behind,
        }
    }

    /// The slots that are held and not used count no longer: others have waited for them long enough.
    /// They stay good, so their messages may exceed the bounds, one of each handle.
    pub(crate) fn write_off(&mut self) -> Wakes {
        self.epoch = self.epoch.wrapping_add(1);
        self.reserved = 0;
        self.reserved_bytes = 0;
        self.turned_away = false;
        self.grant()
    }

    /// From now on, or no longer, senders wait for the handler to answer what was read ahead.
    pub(crate) fn yield_to_handler(&mut self, yielding: bool) -> Wakes {
        self.yielding = yielding;
        self.one_may_come = false;
        self.grant()
    }

    /// Lets one sender in that waits for the handler; where none stands in line, the next one that asks.
    /// Some never stand there: they are told that the queue is full, and try again.
    pub(crate) fn admit(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if self.has_room_to_answer() {
            self.one_may_come = !self.grant_one(&mut wakes);
        }
        wakes
    }
}

#[cfg(test)]
mod walk;
