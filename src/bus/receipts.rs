//! Which messages of this member are resolved, for the futures that wait for it.
//!
//! In: numbers that are given and resolved, in any order. Out: receipts, and wakers, which the caller wakes. May touch:
//! a small lock for each 64 messages, only where a future waits or a member has left.
//!
//! A channel for each message would be an allocation and an entry in a table, and most of these futures are dropped at once.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use kyneta_uds_bus::{MemberId, SeqNo};
use kyneta_uds_core::ignore_poison;

/// How many messages share a block: a bit each.
const EACH: u64 = 64;

/// The messages whose numbers are the same but for the last six bits.
#[derive(Debug, Default)]
struct Block {
    /// Those that are resolved.
    resolved: AtomicU64,
    /// Nothing more is resolved: the last number that may have been sent, and one more. 0 until then.
    over: AtomicU64,
    /// There is something behind the lock.
    is_rare: AtomicBool,
    rare: Mutex<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    /// Futures that wait, by the bits of their messages.
    wakers: Vec<(u64, Waker)>,
    /// The members that left before they had a message.
    left: Vec<(u64, Vec<MemberId>)>,
}

impl Block {
    fn rare(&self) -> MutexGuard<'_, Rare> {
        ignore_poison(self.rare.lock())
    }

    fn end(&self, last: SeqNo) {
        self.over.store(last.0.saturating_add(1), Ordering::SeqCst);
    }
}

/// Nothing more is resolved, and what has a larger number than this was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over(pub(crate) SeqNo);

/// One message's.
#[derive(Debug)]
pub(crate) struct Receipt {
    block: Arc<Block>,
    bit: u64,
}

impl Receipt {
    /// The members that left before they had the message, once it is resolved; an error when all is over before.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<Vec<MemberId>, Over>> {
        if let Some(done) = self.done() {
            return Poll::Ready(done);
        }
        let mut rare = self.block.rare();
        rare.wakers.retain(|(bit, _)| *bit != self.bit);
        rare.wakers.push((self.bit, cx.waker().clone()));
        self.block.is_rare.store(true, Ordering::SeqCst);
        drop(rare);
        // What was resolved in between has not seen the waker.
        self.done().map_or(Poll::Pending, Poll::Ready)
    }

    fn done(&self) -> Option<Result<Vec<MemberId>, Over>> {
        let block = &*self.block;
        // Looked at first: what is resolved before the end counts.
        let over = block.over.load(Ordering::SeqCst);
        if block.resolved.load(Ordering::SeqCst) & self.bit == 0 {
            return over.checked_sub(1).map(|last| Err(Over(SeqNo(last))));
        }
        if !block.is_rare.load(Ordering::SeqCst) {
            return Some(Ok(Vec::new()));
        }
        let mut rare = block.rare();
        let left = rare.left.iter().position(|(bit, _)| *bit == self.bit);
        let left = left.map(|at| rare.left.swap_remove(at).1);
        Some(Ok(left.unwrap_or_default()))
    }
}

/// A block that is not resolved yet, or is the last one.
#[derive(Debug)]
struct Open {
    number: u64,
    block: Arc<Block>,
    /// Those that are not resolved.
    open: u64,
    /// Of these, those that have a slot of the window.
    slots: u64,
}

impl Open {
    /// Resolves those of its messages that have these numbers; how many of them had a slot.
    fn resolve(
        &mut self,
        first: SeqNo,
        last: SeqNo,
        left: &[MemberId],
        wakers: &mut Vec<Waker>,
    ) -> usize {
        let bits = self.open & self.bits(first, last);
        self.open &= !bits;
        let block = &self.block;
        if !left.is_empty() {
            let each = (0..EACH).map(|at| 1 << at).filter(|bit| bits & bit != 0);
            let each = each.map(|bit| (bit, left.to_vec()));
            block.rare().left.extend(each);
            block.is_rare.store(true, Ordering::SeqCst);
        }
        block.resolved.fetch_or(bits, Ordering::SeqCst);
        if block.is_rare.load(Ordering::SeqCst) {
            let woken = |(bit, _): &mut (u64, Waker)| *bit & bits != 0;
            let mut rare = block.rare();
            wakers.extend(rare.wakers.extract_if(.., woken).map(|(_, waker)| waker));
        }
        (self.slots & bits).count_ones() as usize
    }

    /// The bits of the numbers from `first` to `last` that are of this block.
    const fn bits(&self, first: SeqNo, last: SeqNo) -> u64 {
        let from = first.0.saturating_sub(self.number * EACH);
        let upto = last.0.saturating_sub(self.number * EACH);
        if from >= EACH || last.0 < self.number * EACH {
            return 0;
        }
        let behind = if upto >= EACH - 1 {
            0
        } else {
            !0 << (upto + 1)
        };
        (!0 << from) & !behind
    }
}

/// All that are not resolved.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// By number, ascending.
    blocks: VecDeque<Open>,
    /// All is over: the last number that may have been sent.
    ended: Option<SeqNo>,
}

impl Receipts {
    /// A message is accepted. Its number is the largest so far.
    #[inline]
    pub(crate) fn give(&mut self, n: SeqNo, has_slot: bool) -> Receipt {
        let (number, bit) = place(n);
        if let Some(last) = self.ended {
            // A message that was on its way to be accepted when the end was told.
            let block = Arc::new(Block::default());
            block.end(last);
            return Receipt { block, bit };
        }
        if self.blocks.back().is_none_or(|last| last.number != number) {
            // The one before is still there only if something of it is open.
            if self.blocks.back().is_some_and(|last| last.open == 0) {
                self.blocks.pop_back();
            }
            self.blocks.push_back(Open {
                number,
                block: Arc::default(),
                open: 0,
                slots: 0,
            });
        }
        let block = self.blocks.back_mut().map(|last| {
            last.open |= bit;
            last.slots |= if has_slot { bit } else { 0 };
            last.block.clone()
        });
        Receipt {
            block: block.unwrap_or_default(),
            bit,
        }
    }

    /// Messages are resolved: how many of them had a slot of the window. `left` is of each. The wakers of their futures
    /// go to `wakers`.
    pub(crate) fn resolve(
        &mut self,
        numbers: RangeInclusive<SeqNo>,
        left: Vec<MemberId>,
        wakers: &mut Vec<Waker>,
    ) -> usize {
        let (first, last) = numbers.into_inner();
        // Mostly the first one.
        let mut at = match self.blocks.front() {
            Some(of) if of.number >= first.0 / EACH => 0,
            _ => self.blocks.partition_point(|of| of.number < first.0 / EACH),
        };
        let mut slots = 0;
        while let Some(of) = self.blocks.get_mut(at)
            && of.number <= last.0 / EACH
        {
            slots += of.resolve(first, last, &left, wakers);
            if of.open == 0 && at + 1 < self.blocks.len() {
                self.blocks.remove(at);
            } else {
                at += 1;
            }
        }
        slots
    }

    /// Nothing more is resolved, and what has a number after `last` was not sent; the futures that wait.
    pub(crate) fn end(&mut self, last: SeqNo) -> Vec<Waker> {
        let mut wakers = Vec::new();
        self.ended = Some(last);
        for of in self.blocks.drain(..) {
            of.block.end(last);
            let waiting = std::mem::take(&mut of.block.rare().wakers);
            wakers.extend(waiting.into_iter().map(|(_, waker)| waker));
        }
        wakers
    }
}

impl Receipts {
    pub(crate) const fn have_ended(&self) -> bool {
        self.ended.is_some()
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        self.end(SeqNo(u64::MAX)).into_iter().for_each(Waker::wake);
    }
}

/// The number of a message's block, and its bit there.
const fn place(n: SeqNo) -> (u64, u64) {
    (n.0 / EACH, 1 << (n.0 % EACH))
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;
    use kyneta_uds_bus::Incarnation;
    use kyneta_uds_core::PeerId;

    use super::*;

    fn poll(receipt: &Receipt) -> Poll<Result<Vec<MemberId>, Over>> {
        receipt.poll(&Context::from_waker(noop_waker_ref()))
    }

    fn one(n: u64) -> RangeInclusive<SeqNo> {
        SeqNo(n)..=SeqNo(n)
    }

    /// How many had slots.
    fn resolve(receipts: &mut Receipts, numbers: RangeInclusive<SeqNo>) -> usize {
        receipts.resolve(numbers, Vec::new(), &mut Vec::new())
    }

    #[test]
    fn messages_are_resolved_together_as_one_by_one() {
        for (first, last) in [(1, 300), (63, 64), (64, 127), (1, 63), (65, 65), (100, 257)] {
            let mut receipts = Receipts::default();
            let given: Vec<_> = (1..=300)
                .map(|n| receipts.give(SeqNo(n), n % 2 == 0))
                .collect();
            // One is resolved before, and futures wait for some.
            resolve(&mut receipts, one(100));
            let is_in = |n: u64| (first..=last).contains(&n) && n != 100;
            let waiting = (1..=300).filter(|n| n % 5 == 0 && *n != 100);
            for n in waiting.clone() {
                assert!(poll(&given[n as usize - 1]).is_pending());
            }
            let mut wakers = Vec::new();
            let slots = receipts.resolve(SeqNo(first)..=SeqNo(last), Vec::new(), &mut wakers);
            let of_these = |n: &u64| is_in(*n);
            assert_eq!(slots, (2..=300).step_by(2).filter(of_these).count());
            assert_eq!(wakers.len(), waiting.filter(of_these).count());
            for n in 1..=300 {
                let is_resolved = n == 100 || is_in(n);
                assert_eq!(poll(&given[n as usize - 1]).is_ready(), is_resolved, "{n}");
            }
        }
    }

    #[test]
    fn each_message_is_resolved_by_itself_and_names_those_that_left() {
        let id = MemberId::new(PeerId::new("a").unwrap(), Incarnation(1));
        let mut receipts = Receipts::default();
        let given: Vec<_> = (1..=300)
            .map(|n| receipts.give(SeqNo(n), n % 2 == 0))
            .collect();
        // The last one first, and every third names a member.
        for n in (1..=300).rev() {
            let left = vec![id.clone(); usize::from(n % 3 == 0)];
            let receipt = &given[n as usize - 1];
            assert_eq!(poll(receipt), Poll::Pending);
            let mut wakers = Vec::new();
            let slots = receipts.resolve(one(n), left.clone(), &mut wakers);
            assert_eq!((slots, wakers.len()), (usize::from(n % 2 == 0), 1), "{n}");
            assert_eq!(poll(receipt), Poll::Ready(Ok(left)));
            // Once only.
            assert_eq!(resolve(&mut receipts, one(n)), 0);
        }
        assert_eq!(receipts.blocks.len(), 1);
    }

    #[test]
    fn a_message_that_stays_open_holds_its_block_alone() {
        let mut receipts = Receipts::default();
        let first = receipts.give(SeqNo(1), true);
        for n in 2..10_000 {
            drop(receipts.give(SeqNo(n), true));
            assert_eq!(resolve(&mut receipts, one(n)), 1);
        }
        assert_eq!(receipts.blocks.len(), 2);
        assert!(poll(&first).is_pending());
        assert_eq!(resolve(&mut receipts, one(1)), 1);
        assert_eq!(poll(&first), Poll::Ready(Ok(Vec::new())));
        assert_eq!(receipts.blocks.len(), 1);
    }

    #[test]
    fn the_end_is_told_to_those_that_wait_and_takes_nothing_back() {
        let mut receipts = Receipts::default();
        let (had, open) = (receipts.give(SeqNo(1), true), receipts.give(SeqNo(2), true));
        resolve(&mut receipts, one(1));
        assert!(poll(&open).is_pending());
        assert_eq!(receipts.end(SeqNo(2)).len(), 1);
        assert_eq!(poll(&had), Poll::Ready(Ok(Vec::new())));
        assert_eq!(poll(&open), Poll::Ready(Err(Over(SeqNo(2)))));
        // One that comes too late does not wait for ever.
        assert_eq!(
            poll(&receipts.give(SeqNo(3), true)),
            Poll::Ready(Err(Over(SeqNo(2))))
        );
    }
}
