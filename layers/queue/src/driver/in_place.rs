//! A run of waiting messages, for a channel that encodes them where they are.
//!
//! In: the driver's batch. Out: the messages from its front, by reference; how many the channel took, and their
//! size. May touch: the batch.

use kyneta_uds_core::{Run, SmallOffer};

use crate::send_queue::{Batch, Queued};

pub(super) struct InPlace<'a, M> {
    batch: &'a mut Batch<M>,
    /// Messages given to the channel, of this run and before; and before it.
    encoded: &'a mut u64,
    before: u64,
    /// The first by value that is not called yet, or [`NONE`] while small offers are next. Those before it are dropped where
    /// they stand, and their places are freed at the end: taken out one by one they would be moved, which costs 25
    /// instructions each.
    at: usize,
    /// Those by value before this one are no part of the batch any more.
    passed: usize,
    /// When this one is next by value, small offers are next.
    end: usize,
    /// Size of those that the channel was called with.
    bytes: usize,
}

/// A place that no batch has.
const NONE: usize = usize::MAX;

impl<'a, M> InPlace<'a, M> {
    pub(super) fn of(batch: &'a mut Batch<M>, encoded: &'a mut u64) -> Self {
        let mut run = Self {
            batch,
            before: *encoded,
            encoded,
            at: 0,
            passed: 0,
            end: NONE,
            bytes: 0,
        };
        run.turn();
        run
    }

    /// How many messages the channel was called with, and their size.
    pub(super) fn done(self) -> (usize, usize) {
        ((*self.encoded - self.before) as usize, self.bytes)
    }

    /// Those by value before `at` have been called: looks at what is next.
    fn turn(&mut self) {
        self.batch.pass(self.at - self.passed);
        self.passed = self.at;
        match self.batch.values_before_offers() {
            Some(0) => self.at = NONE,
            Some(values) => self.end = self.at + values,
            None => self.end = NONE,
        }
    }

    /// The channel was called with the first small offer.
    #[inline(never)]
    fn offer_called(&mut self) {
        if let Some(size) = self.batch.pop_offer() {
            *self.encoded += 1;
            self.bytes = self.bytes.saturating_add(size);
            if !self.batch.begins_small() {
                self.at = self.passed;
                self.turn();
            }
        }
    }
}

impl<M> Run<M> for InPlace<'_, M> {
    #[inline]
    fn front(&self) -> Option<&M> {
        self.batch.get(self.at)
    }

    #[inline]
    fn front_offer(&self) -> Option<SmallOffer<'_>> {
        match self.at {
            NONE => self.batch.offer(),
            _ => None,
        }
    }

    // Always: otherwise it is called, which takes 20 instructions more.
    #[inline(always)]
    fn called(&mut self) {
        let Some(Queued { msg, size }) = self.batch.get_mut(self.at) else {
            return self.offer_called();
        };
        // Counted before it is dropped: that is the user's code, and may panic.
        *self.encoded += 1;
        self.at += 1;
        self.bytes = self.bytes.saturating_add(*size);
        *msg = None;
        if self.at == self.end {
            self.turn();
        }
    }
}

impl<M> Drop for InPlace<'_, M> {
    #[inline]
    fn drop(&mut self) {
        let places = match self.at {
            NONE => self.passed,
            at => at,
        };
        // A channel that does not know runs has taken none: it costs that nothing.
        if places > 0 {
            self.batch.pass(places - self.passed);
            self.batch.free(places);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use kyneta_uds_core::{DocId, Offer, Version};

    use super::*;

    /// An offer whose data are the number.
    fn offer(number: u64) -> Offer {
        let (doc, version) = (DocId::new("d").unwrap(), Version::new("1").unwrap());
        Offer::binary(doc, version, number.to_le_bytes().to_vec())
    }

    fn small(offer: &Offer) -> SmallOffer<'_> {
        SmallOffer::of(&offer.into()).unwrap()
    }

    fn number(offer: SmallOffer<'_>) -> u64 {
        u64::from_le_bytes(*offer.data.first_chunk().unwrap())
    }

    /// Even numbers go by value.
    fn size(number: u64) -> usize {
        match number % 2 {
            0 => number as usize,
            _ => small(&offer(number)).size(),
        }
    }

    /// A batch, and what it is to hold.
    struct Line {
        batch: Batch<u64>,
        model: VecDeque<u64>,
    }

    impl Line {
        const fn new() -> Self {
            Self {
                batch: Batch::new(),
                model: VecDeque::new(),
            }
        }

        fn add(&mut self, number: u64) {
            self.model.push_back(number);
            match number % 2 {
                0 => self.batch.push(Some(number), size(number)),
                _ => self.batch.push_small(&small(&offer(number)), self::number),
            }
        }

        fn pop(&mut self) {
            let got = self.batch.pop().map(|first| (first.msg, first.size));
            let due = self.model.pop_front();
            assert_eq!(got, due.map(|number| (Some(number), size(number))));
        }

        /// As a channel that takes up to `most`.
        fn call(&mut self, most: usize) {
            let (mut encoded, mut sizes) = (7, 0);
            let mut run = InPlace::of(&mut self.batch, &mut encoded);
            for n in 0..most {
                let offer = run.front_offer().map(number);
                assert!(offer.is_none() || run.front().is_none());
                let got = run.front().copied().or(offer);
                assert_eq!(got, self.model.pop_front());
                run.called();
                let Some(got) = got else {
                    assert_eq!(run.done(), (n, sizes));
                    return assert_eq!(encoded, 7 + n as u64);
                };
                sizes += size(got);
            }
            assert_eq!(run.done(), (most, sizes));
        }

        fn check(&self) {
            let sizes: Vec<_> = self.model.iter().copied().map(size).collect();
            assert_eq!(self.batch.sizes().collect::<Vec<_>>(), sizes);
            assert_eq!(self.batch.size(), sizes.iter().sum());
            assert_eq!(self.batch.front_size(), sizes.first().copied());
            assert_eq!(self.batch.last_size(), sizes.last().copied());
            let first_is_small = self.model.front().is_some_and(|number| number % 2 == 1);
            assert_eq!(self.batch.begins_small(), first_is_small);
            assert_eq!(self.batch.is_empty(), sizes.is_empty());
        }
    }

    #[test]
    fn two_kinds_keep_one_order_however_they_are_added_moved_called_and_taken() {
        let (mut here, mut there) = (Line::new(), Line::new());
        let (mut random, mut next) = (1_u64, 0);
        for step in 0..20_000 {
            let mut below = |n: u64| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 33) % n
            };
            match below(6) {
                // Several of a kind, as a rule.
                0 | 1 => {
                    let kind = below(2);
                    for _ in 0..below(4) {
                        next += 2;
                        there.add(next + kind);
                    }
                }
                2 => here.pop(),
                3 => there.pop(),
                4 => here.call(below(7) as usize),
                _ => {
                    let count = (below(9) as usize).min(there.model.len());
                    here.batch.take_from(&mut there.batch, count);
                    here.model.extend(there.model.drain(..count));
                }
            }
            if step % 5_000 == 4_999 {
                there.batch.clear();
                there.model.clear();
            }
            here.check();
            there.check();
        }
        assert!(next > 10_000);
    }
}
