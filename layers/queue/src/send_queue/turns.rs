//! In which order messages by value and small offers follow one another: each kind waits in a line of its own.
//!
//! In: what is added to either line, and taken from it. Out: which of them is next. Touches nothing.

use std::collections::VecDeque;

/// So many messages by value, then so many small offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) values: usize,
    pub(super) offers: usize,
}

/// Messages by value behind the last small offer are in no turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Without offers when none wait.
    first: Turn,
    more: VecDeque<Turn>,
    /// Messages by value in all turns.
    values: usize,
}

impl Turns {
    /// `None` when no offers wait.
    #[inline]
    pub(super) fn first(&self) -> Option<Turn> {
        (self.first.offers > 0).then_some(self.first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Turn> {
        self.first().into_iter().chain(self.more.iter().copied())
    }

    /// True when an offer is the last: there are `values` messages by value.
    #[inline]
    pub(super) fn end_with_offer(&self, values: usize) -> bool {
        self.first.offers > 0 && values == self.values
    }

    /// `offers` more are the last ones, behind all `values`.
    #[inline]
    pub(super) fn add_offers(&mut self, values: usize, offers: usize) {
        if self.end_with_offer(values) {
            self.more.back_mut().unwrap_or(&mut self.first).offers += offers;
        } else {
            self.add_turn(values, offers);
        }
    }

    fn add_turn(&mut self, values: usize, offers: usize) {
        let turn = Turn {
            values: values - self.values,
            offers,
        };
        self.values = values;
        match self.first() {
            Some(_) => self.more.push_back(turn),
            None => self.first = turn,
        }
    }

    /// The first ones are taken, which are by value.
    #[inline]
    pub(super) fn take_values(&mut self, values: usize) {
        if self.first.offers > 0 {
            self.first.values -= values;
            self.values -= values;
        }
    }

    /// The first ones are taken, which are small offers.
    #[inline]
    pub(super) fn take_offers(&mut self, offers: usize) {
        self.first.offers -= offers;
        if self.first.offers == 0 {
            self.first = self.more.pop_front().unwrap_or_default();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
