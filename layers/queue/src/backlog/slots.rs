//! Slots: who may queue a message now, and who waits for it in which order.

use std::task::Waker;

use super::{Backlog, Wakes};
use crate::{config::Overflow, error::SendError};

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

#[derive(Debug)]
pub(super) struct InLine {
    pub(super) ticket: u64,
    pub(super) waker: Waker,
    pub(super) granted: bool,
}

impl<M> Backlog<M> {
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
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Wakes {
        if self.redeem(ticket) {
            self.release()
        } else {
            Wakes::default()
        }
    }

    /// Leaves the line. True when a slot had been granted, which is the caller's now.
    pub(crate) fn redeem(&mut self, Ticket(ticket): Ticket) -> bool {
        match self
            .line
            .binary_search_by_key(&ticket, |waits| waits.ticket)
        {
            Ok(at) => self.line.remove(at).is_some_and(|waits| waits.granted),
            Err(_) => false,
        }
    }

    /// Hands free slots to those who wait longest.
    pub(super) fn grant(&mut self) -> Wakes {
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

    /// True while senders stand in line and no slot is free.
    pub(crate) fn is_stuck(&self) -> bool {
        self.line.iter().any(|waits| !waits.granted)
    }
}
