//! Which messages of this member are resolved, for the futures that wait for it.
//!
//! In: numbers that are given and resolved, in any order. Out: receipts, and wakers, which the caller wakes. May touch:
//! a small lock for each 64 messages, only where a future waits or a member has left.
//!
//! A channel for each message would be an allocation and an entry in a table, and most of these futures are dropped at once.

use std::{
    collections::VecDeque,
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

/// All that are not resolved.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// By number, ascending.
    blocks: VecDeque<Open>,
}

/// What a resolved message brings about.
pub(crate) struct Resolved {
    /// It had a slot of the window.
    pub(crate) slot: bool,
    pub(crate) waker: Option<Waker>,
}

impl Receipts {
    /// A message is accepted. Its number is the largest so far.
    pub(crate) fn give(&mut self, n: SeqNo, has_slot: bool) -> Receipt {
        let (number, bit) = place(n);
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

    /// A message is resolved.
    pub(crate) fn resolve(&mut self, n: SeqNo, left: Vec<MemberId>) -> Resolved {
        let (number, bit) = place(n);
        // Mostly the first one.
        let at = match self.blocks.front() {
            Some(first) if first.number == number => 0,
            _ => self.blocks.partition_point(|of| of.number < number),
        };
        let found = self.blocks.get_mut(at);
        let Some(of) = found.filter(|of| of.number == number && of.open & bit != 0) else {
            return Resolved {
                slot: false,
                waker: None,
            };
        };
        of.open &= !bit;
        let slot = of.slots & bit != 0;
        let block = &of.block;
        if !left.is_empty() {
            block.rare().left.push((bit, left));
            block.is_rare.store(true, Ordering::SeqCst);
        }
        block.resolved.fetch_or(bit, Ordering::SeqCst);
        let waker = block.is_rare.load(Ordering::SeqCst).then(|| {
            let mut rare = block.rare();
            let waker = rare.wakers.iter().position(|(of, _)| *of == bit);
            waker.map(|at| rare.wakers.swap_remove(at).1)
        });
        if of.open == 0 && at + 1 < self.blocks.len() {
            self.blocks.remove(at);
        }
        Resolved {
            slot,
            waker: waker.flatten(),
        }
    }

    /// Nothing more is resolved, and what has a number after `last` was not sent; the futures that wait.
    pub(crate) fn end(&mut self, last: SeqNo) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let over = last.0.saturating_add(1);
        for of in self.blocks.drain(..) {
            of.block.over.store(over, Ordering::SeqCst);
            let waiting = std::mem::take(&mut of.block.rare().wakers);
            wakers.extend(waiting.into_iter().map(|(_, waker)| waker));
        }
        wakers
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
            let resolved = receipts.resolve(SeqNo(n), left.clone());
            assert!(
                resolved.slot == (n % 2 == 0) && resolved.waker.is_some(),
                "{n}"
            );
            assert_eq!(poll(receipt), Poll::Ready(Ok(left)));
            // Once only.
            assert!(!receipts.resolve(SeqNo(n), Vec::new()).slot);
        }
        assert_eq!(receipts.blocks.len(), 1);
    }

    #[test]
    fn a_message_that_stays_open_holds_its_block_alone() {
        let mut receipts = Receipts::default();
        let first = receipts.give(SeqNo(1), true);
        for n in 2..10_000 {
            drop(receipts.give(SeqNo(n), true));
            assert!(receipts.resolve(SeqNo(n), Vec::new()).slot);
        }
        assert_eq!(receipts.blocks.len(), 2);
        assert!(poll(&first).is_pending());
        assert!(receipts.resolve(SeqNo(1), Vec::new()).slot);
        assert_eq!(poll(&first), Poll::Ready(Ok(Vec::new())));
        assert_eq!(receipts.blocks.len(), 1);
    }

    #[test]
    fn the_end_is_told_to_those_that_wait_and_takes_nothing_back() {
        let mut receipts = Receipts::default();
        let (had, open) = (receipts.give(SeqNo(1), true), receipts.give(SeqNo(2), true));
        receipts.resolve(SeqNo(1), Vec::new());
        assert!(poll(&open).is_pending());
        assert_eq!(receipts.end(SeqNo(2)).len(), 1);
        assert_eq!(poll(&had), Poll::Ready(Ok(Vec::new())));
        assert_eq!(poll(&open), Poll::Ready(Err(Over(SeqNo(2)))));
    }
}
