//! What a member sends in one round of reading: the first message is routed at once, as all are where they come one by
//! one; the others in one turn. The hub's lock and those of the receivers' queues are taken once for it, and each receiver
//! is woken once.
//!
//! In: messages. Out: the same, together. Touches nothing.

use std::collections::VecDeque;

use kyneta_uds_core::Message;

use crate::gate::Waiting;

/// The most messages of a turn, and the most bytes; the last message may exceed these. They bound how far a turn fills a
/// queue beyond its room.
const MAX_MESSAGES: usize = 32;
const MAX_BYTES: u32 = 64 << 10;

/// What is collected in a round.
#[derive(Debug)]
pub(crate) struct Round<M> {
    msgs: Vec<M>,
    bytes: u32,
    /// The end of the round will be told; else each message is routed at once.
    is_open: bool,
    /// There was a message in it, and in the one before.
    is_used: bool,
    was_used: bool,
}

impl<M: Message> Round<M> {
    pub(crate) const fn new() -> Self {
        Self {
            msgs: Vec::new(),
            bytes: 0,
            is_open: false,
            is_used: false,
            was_used: false,
        }
    }

    pub(crate) const fn begins(&mut self) {
        (self.is_open, self.was_used) = (true, self.is_used);
        self.is_used = false;
    }

    /// What is left to be routed. Two rounds without messages free the memory of earlier ones: most members are silent, and
    /// one such round ends each burst.
    pub(crate) fn over(&mut self) -> Option<Sent<M>> {
        self.is_open = false;
        if !self.is_used && !self.was_used {
            self.msgs = Vec::new();
        }
        self.take()
    }

    /// The memory of messages that were routed.
    #[inline]
    pub(crate) fn give_back(&mut self, msgs: Vec<M>) {
        if self.msgs.capacity() == 0 {
            self.msgs = msgs;
        }
    }

    /// Adds a message; gives what is to be routed now.
    #[inline]
    pub(crate) fn add(&mut self, msg: M) -> Option<Sent<M>> {
        if !(self.is_open && std::mem::replace(&mut self.is_used, true)) {
            return Some(Sent::One(msg));
        }
        let size = u32::try_from(msg.size()).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(size);
        if self.msgs.capacity() == 0 {
            self.msgs.reserve_exact(MAX_MESSAGES);
        }
        self.msgs.push(msg);
        let is_full = self.msgs.len() >= MAX_MESSAGES || self.bytes >= MAX_BYTES;
        if is_full { self.take() } else { None }
    }

    /// What it has so far, before a message that is routed in parts.
    pub(crate) fn take(&mut self) -> Option<Sent<M>> {
        self.bytes = 0;
        match self.msgs.len() {
            0 | 1 => self.msgs.pop().map(Sent::One),
            _ => Some(Sent::Several(std::mem::take(&mut self.msgs))),
        }
    }
}

/// Messages of one member, in order.
#[derive(Debug)]
pub(crate) enum Sent<M> {
    One(M),
    Several(Vec<M>),
    /// One that is routed in parts, with other events between. Its member hands in nothing else until all are routed.
    Parts(VecDeque<M>),
}

impl<M: Message> Sent<M> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Several(msgs) => msgs.len(),
            Self::Parts(parts) => parts.len(),
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let sum = |sum: usize, msg: &M| sum.saturating_add(msg.size());
        match self {
            Self::One(msg) => Waiting {
                messages: 1,
                bytes: msg.size(),
            },
            Self::Several(msgs) => Waiting {
                messages: msgs.len(),
                bytes: msgs.iter().fold(0, sum),
            },
            Self::Parts(parts) => Waiting {
                bytes: parts.iter().fold(0, sum),
                ..Waiting::SHUT
            },
        }
    }
}
