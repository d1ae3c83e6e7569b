//! Messages in order, on their way to the channel: each in its place, or, if it is a small offer that was queued by
//! reference, copied behind the others of its kind.
//!
//! In: messages, small offers. Out: the same, in order. Touches nothing.

use std::collections::VecDeque;

use kyneta_uds_core::{SmallOffer, SmallOffers};

/// A message that waits, with its size, computed once.
///
/// `Option`, as the futures hold it: unwrapping on the way splits the move, the stores no longer match the loads, and that
/// costs 5 ns each. `None` in a batch: the message is the next one of the small offers.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub(crate) msg: Option<M>,
    pub(crate) size: usize,
}

pub(crate) struct Batch<M> {
    places: VecDeque<Queued<M>>,
    /// Absent until there is one, and after a rest.
    small: Option<Box<Small<M>>>,
}

/// Makes a message of an offer that waits by reference, for a channel that is to be called with it.
pub(crate) type ByValue<M> = fn(SmallOffer<'_>) -> M;

struct Small<M> {
    offers: SmallOffers,
    by_value: ByValue<M>,
}

impl<M> std::fmt::Debug for Batch<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<M> Batch<M> {
    pub(crate) const fn new() -> Self {
        Self {
            places: VecDeque::new(),
            small: None,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.places.capacity()
    }

    /// Allocates the place of one more, the first time exactly `first`.
    pub(crate) fn grow(&mut self, first: usize) {
        match self.places.capacity() {
            0 => self.places.reserve_exact(first),
            _ => self.places.reserve(1),
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, msg: Option<M>, size: usize) {
        self.places.push_back(Queued { msg, size });
    }

    /// Copies an offer.
    #[inline(always)]
    pub(crate) fn push_small(&mut self, offer: &SmallOffer<'_>, size: usize, by_value: ByValue<M>) {
        let small = match &mut self.small {
            Some(small) => small,
            None => self.small.insert(Box::new(Small {
                offers: SmallOffers::default(),
                by_value,
            })),
        };
        small.offers.push(offer);
        self.places.push_back(Queued { msg: None, size });
    }

    /// The size of the first one.
    #[inline]
    pub(crate) fn front_size(&self) -> Option<usize> {
        Some(self.places.front()?.size)
    }

    /// The size of the last one.
    #[inline]
    pub(crate) fn last_size(&self) -> Option<usize> {
        Some(self.places.back()?.size)
    }

    /// The first one, by value.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Queued<M>> {
        let mut first = self.places.pop_front()?;
        if first.msg.is_none() {
            first.msg = self.pop_small();
        }
        Some(first)
    }

    #[cold]
    fn pop_small(&mut self) -> Option<M> {
        let Small { offers, by_value } = &mut **self.small.as_mut()?;
        let msg = by_value(offers.front()?);
        offers.pop();
        Some(msg)
    }

    /// The message at a place, if it is there by value.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&M> {
        self.places.get(at)?.msg.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Queued<M>> {
        self.places.get_mut(at)
    }

    /// The first small offer, if it belongs at this place.
    #[inline]
    pub(crate) fn offer(&self, at: usize) -> Option<SmallOffer<'_>> {
        match self.places.get(at)?.msg {
            Some(_) => None,
            None => self.small.as_ref()?.offers.front(),
        }
    }

    /// Removes the first small offer; its place remains.
    #[inline]
    pub(crate) fn pop_offer(&mut self) {
        if let Some(small) = &mut self.small {
            small.offers.pop();
        }
    }

    /// Whether the first one is a small offer.
    #[inline]
    pub(crate) fn begins_small(&self) -> bool {
        self.places.front().is_some_and(|first| first.msg.is_none())
    }

    /// Frees the first places, whose messages are gone.
    #[inline]
    pub(crate) fn free(&mut self, places: usize) {
        self.places.drain(..places.min(self.places.len()));
    }

    /// Moves the first `count` of `others` to the end of these.
    pub(crate) fn take_from(&mut self, others: &mut Self, count: usize) {
        if self.is_empty() && count >= others.len() {
            std::mem::swap(self, others);
            return;
        }
        if let Some(theirs) = &mut others.small {
            let moved = others.places.iter().take(count);
            let small = moved.filter(|place| place.msg.is_none()).count();
            if small > 0 {
                let by_value = theirs.by_value;
                let ours = self.small.get_or_insert_with(|| {
                    Box::new(Small {
                        offers: SmallOffers::default(),
                        by_value,
                    })
                });
                ours.offers.take_from(&mut theirs.offers, small);
            }
        }
        if count >= others.len() {
            self.places.append(&mut others.places);
        } else {
            self.places.extend(others.places.drain(..count));
        }
    }

    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| place.size)
    }

    /// Drops all messages, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        if let Some(small) = &mut self.small {
            small.offers.clear();
        }
    }

    /// Whether it holds memory for small offers, even if there is none.
    #[inline]
    pub(crate) fn holds_small(&self) -> bool {
        self.small.is_some()
    }

    /// Frees the memory of an empty batch.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}
