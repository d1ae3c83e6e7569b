//! Messages in order, on their way to the channel: those by value in one line, small offers that were queued by reference
//! in another.
//!
//! In: messages, small offers. Out: the same, in order. Touches nothing.

use std::collections::VecDeque;

use kyneta_uds_core::{SmallOffer, SmallOffers};

use super::turns::{Turn, Turns};

/// A message that waits, with its size, computed once.
///
/// `Option`, as the futures hold it: unwrapping on the way splits the move, the stores no longer match the loads, and that
/// costs 5 ns each.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub(crate) msg: Option<M>,
    pub(crate) size: usize,
}

pub(crate) struct Batch<M> {
    values: VecDeque<Queued<M>>,
    /// Absent until there is one, and after a rest.
    small: Option<Box<Small<M>>>,
}

/// Makes a message of an offer that waits by reference, for a channel that is to be called with it.
pub(crate) type ByValue<M> = fn(SmallOffer<'_>) -> M;

struct Small<M> {
    offers: SmallOffers,
    /// Where among the messages by value they belong.
    turns: Turns,
    by_value: ByValue<M>,
}

impl<M> Small<M> {
    fn new(by_value: ByValue<M>) -> Box<Self> {
        Box::new(Self {
            offers: SmallOffers::default(),
            turns: Turns::default(),
            by_value,
        })
    }
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
            values: VecDeque::new(),
            small: None,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let small = self.small.as_ref().map_or(0, |small| small.offers.len());
        self.values.len() + small
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places for messages by value.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.values.capacity()
    }

    /// True when the next message by value needs memory.
    #[inline]
    pub(crate) fn is_at_capacity(&self) -> bool {
        self.values.len() == self.values.capacity()
    }

    /// Allocates the place of one more message by value, the first time exactly `first`.
    pub(crate) fn grow(&mut self, first: usize) {
        match self.values.capacity() {
            0 => self.values.reserve_exact(first),
            _ => self.values.reserve(1),
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, msg: Option<M>, size: usize) {
        self.values.push_back(Queued { msg, size });
    }

    /// Copies an offer.
    #[inline(always)]
    pub(crate) fn push_small(&mut self, offer: &SmallOffer<'_>, by_value: ByValue<M>) {
        let small = self.small.get_or_insert_with(|| Small::new(by_value));
        small.offers.push(offer);
        small.turns.add_offers(self.values.len(), 1);
    }

    /// The size of the first one.
    #[inline]
    pub(crate) fn front_size(&self) -> Option<usize> {
        match &self.small {
            Some(small) if self.begins_small() => small.offers.sizes().next(),
            _ => Some(self.values.front()?.size),
        }
    }

    /// The size of the last one.
    #[inline]
    pub(crate) fn last_size(&self) -> Option<usize> {
        match &self.small {
            Some(small) if small.turns.end_with_offer(self.values.len()) => {
                small.offers.sizes().next_back()
            }
            _ => Some(self.values.back()?.size),
        }
    }

    /// The first one, by value.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Queued<M>> {
        if self.begins_small() {
            return self.pop_small();
        }
        let first = self.values.pop_front()?;
        if let Some(small) = &mut self.small {
            small.turns.take_values(1);
        }
        Some(first)
    }

    #[cold]
    fn pop_small(&mut self) -> Option<Queued<M>> {
        let small = self.small.as_ref()?;
        let msg = (small.by_value)(small.offers.front()?);
        Some(Queued {
            msg: Some(msg),
            size: self.pop_offer()?,
        })
    }

    /// The message by value at a place.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&M> {
        self.values.get(at)?.msg.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Queued<M>> {
        self.values.get_mut(at)
    }

    /// The first `values`, whose messages are gone, are none any more; their places remain.
    #[inline]
    pub(crate) fn pass(&mut self, values: usize) {
        if let Some(small) = &mut self.small {
            small.turns.take_values(values);
        }
    }

    /// Frees the first places, whose messages are gone.
    #[inline]
    pub(crate) fn free(&mut self, places: usize) {
        self.values.drain(..places.min(self.values.len()));
    }

    /// The first small offer.
    #[inline]
    pub(crate) fn offer(&self) -> Option<SmallOffer<'_>> {
        self.small.as_ref()?.offers.front()
    }

    /// Removes the first small offer, which is next. Its size.
    #[inline]
    pub(crate) fn pop_offer(&mut self) -> Option<usize> {
        let small = self.small.as_mut()?;
        let size = small.offers.pop()?;
        small.turns.take_offers(1);
        Some(size)
    }

    /// Whether a small offer is next.
    #[inline]
    pub(crate) fn begins_small(&self) -> bool {
        self.values_before_offers() == Some(0)
    }

    /// Moves the first `count` of `others` to the end of these.
    pub(crate) fn take_from(&mut self, others: &mut Self, count: usize) {
        if self.is_empty() && count >= others.len() {
            std::mem::swap(self, others);
            return;
        }
        let mut left = count.min(others.len());
        while left > 0 {
            let turn = others.first_turn();
            let values = turn.values.min(left);
            self.take_values(others, values);
            left -= values;
            let offers = turn.offers.min(left);
            self.take_offers(others, offers);
            left -= offers;
        }
    }

    /// So many by value are next, before a small offer. `None` if no small offer waits.
    #[inline]
    pub(crate) fn values_before_offers(&self) -> Option<usize> {
        let first = self.small.as_ref()?.turns.first()?;
        Some(first.values)
    }

    /// So many by value are next, and then so many small offers.
    fn first_turn(&self) -> Turn {
        let first = self.small.as_ref().and_then(|small| small.turns.first());
        first.unwrap_or(Turn {
            values: self.values.len(),
            offers: 0,
        })
    }

    fn take_values(&mut self, others: &mut Self, count: usize) {
        if count == others.values.len() {
            self.values.append(&mut others.values);
        } else {
            self.values.extend(others.values.drain(..count));
        }
        if let Some(theirs) = &mut others.small {
            theirs.turns.take_values(count);
        }
    }

    fn take_offers(&mut self, others: &mut Self, count: usize) {
        if count > 0
            && let Some(theirs) = &mut others.small
        {
            let ours = self
                .small
                .get_or_insert_with(|| Small::new(theirs.by_value));
            ours.offers.take_from(&mut theirs.offers, count);
            ours.turns.add_offers(self.values.len(), count);
            theirs.turns.take_offers(count);
        }
    }

    /// Of each, in order.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        let mut values = self.values.iter().map(|queued| queued.size);
        let small = self.small.as_ref();
        let mut offers = small
            .map(|small| small.offers.sizes())
            .into_iter()
            .flatten();
        let mut turns = small.map(|small| small.turns.iter()).into_iter().flatten();
        let mut turn = Turn::default();
        std::iter::from_fn(move || {
            if turn.values == 0 && turn.offers == 0 {
                turn = turns.next().unwrap_or(Turn {
                    values: usize::MAX,
                    offers: 0,
                });
            }
            if turn.values > 0 {
                turn.values -= 1;
                return values.next();
            }
            turn.offers -= 1;
            offers.next()
        })
    }

    /// Of all together.
    pub(crate) fn size(&self) -> usize {
        let values = self.values.iter().map(|queued| queued.size);
        let values = values.fold(0, usize::saturating_add);
        let offers = self.small.iter().flat_map(|small| small.offers.sizes());
        offers.fold(values, usize::saturating_add)
    }

    /// Drops all messages, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        if let Some(small) = &mut self.small {
            small.offers.clear();
            small.turns.clear();
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
