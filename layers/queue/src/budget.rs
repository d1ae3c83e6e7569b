//! Room that many queues share, so that many slow peers together stay within a bound.
//!
//! In: what a queue holds. Out: whether it may hold more. Touches nothing but the shared count, and
//! that in steps, not for each message: an atomic operation costs as much as all the rest of enqueue.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What a queue may hold without taking from the budget: a shorter queue always accepts a message. So a
/// queue whose peer reads goes on, whatever the others hold.
const FREE: Held = Held {
    messages: 64,
    bytes: 16 << 10,
};

/// Room that many queues share: messages and bytes that wait, in all.
///
/// When it is used up, a queue that holds 64 messages or 16 KiB is full, whatever its own bounds are,
/// and does what its [`Overflow`](crate::Overflow) says. Those first 64 messages and 16 KiB of each queue
/// do not count. As with one queue's bound, a message is let in while there is room, so the last one of
/// each sender may exceed it.
///
/// ```
/// use kyneta_uds_queue::{Budget, QueueConfig};
///
/// let config = QueueConfig::default().budget(Budget::new(100_000, 64 << 20));
/// let every_connection = config.clone(); // shares it
/// assert_eq!(every_connection.shared_budget().map(Budget::used), Some((0, 0)));
/// ```
#[derive(Clone)]
pub struct Budget {
    pool: Arc<Pool>,
}

struct Pool {
    max: Held,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    messages: usize,
    bytes: usize,
}

impl Default for Budget {
    /// 1,048,576 messages, 256 MiB.
    fn default() -> Self {
        Self::new(1 << 20, 256 << 20)
    }
}

impl Budget {
    /// Room for so many messages, and so many bytes by
    /// [`Message::size`](kyneta_uds_core::Message::size).
    pub fn new(messages: usize, bytes: usize) -> Self {
        Self {
            pool: Arc::new(Pool {
                max: Held { messages, bytes },
                messages: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
            }),
        }
    }

    /// How many messages and bytes are taken, in steps of 64 messages and 16 KiB.
    pub fn used(&self) -> (usize, usize) {
        let Pool {
            messages, bytes, ..
        } = &*self.pool;
        (messages.load(Relaxed), bytes.load(Relaxed))
    }

    fn has_room(&self) -> bool {
        let (messages, bytes) = self.used();
        messages < self.pool.max.messages && bytes < self.pool.max.bytes
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.used();
        f.debug_struct("Budget")
            .field("max_messages", &self.pool.max.messages)
            .field("max_bytes", &self.pool.max.bytes)
            .field("messages", &messages)
            .field("bytes", &bytes)
            .finish()
    }
}

/// What one queue has taken of a budget. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Budget,
    /// What the queue may hold with what it has taken.
    upto: Held,
}

impl Lease {
    pub(crate) const fn new(budget: Budget) -> Self {
        Self { budget, upto: FREE }
    }

    /// May a queue that holds so much let in one more? Not because there is room left in what it has
    /// taken: the message after that would take a step more, whether there is one or not.
    #[inline]
    pub(crate) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        (messages < FREE.messages && bytes < FREE.bytes) || self.budget.has_room()
    }

    /// The queue holds so much now, which is more than before.
    #[inline]
    pub(crate) fn grow(&mut self, messages: usize, bytes: usize) {
        if messages > self.upto.messages || bytes > self.upto.bytes {
            self.hold(messages, bytes);
        }
    }

    /// The queue holds so much now: takes what that needs, and gives back what it does not.
    pub(crate) fn hold(&mut self, messages: usize, bytes: usize) {
        let pool = &*self.budget.pool;
        settle::<{ FREE.messages }>(&pool.messages, &mut self.upto.messages, messages);
        settle::<{ FREE.bytes }>(&pool.bytes, &mut self.upto.bytes, bytes);
    }
}

/// Brings what may be held of one kind to what is, in whole steps, which are as large as what is free.
/// A step more than needed is kept, so that a queue at a border does not take and give back all the
/// time.
fn settle<const FREE: usize>(pool: &AtomicUsize, upto: &mut usize, held: usize) {
    let needed = held.div_ceil(FREE).max(1).saturating_mul(FREE);
    if needed > *upto {
        pool.fetch_add(needed - *upto, Relaxed);
        *upto = needed;
    } else if *upto > needed && (needed == FREE || *upto - needed > FREE) {
        pool.fetch_sub(*upto - needed, Relaxed);
        *upto = needed;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.hold(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_follows_what_is_held() {
        let budget = Budget::new(1_000_000, 1 << 20);
        let mut lease = Lease::new(budget.clone());
        let step = FREE.bytes;
        // Bytes held, and bytes taken from the budget.
        let table = [
            (0, 0),
            (FREE.bytes, 0),
            (FREE.bytes + 1, step),
            (FREE.bytes + step, step),
            (FREE.bytes + step + 1, 2 * step),
            (FREE.bytes + 10 * step, 10 * step),
            (FREE.bytes + 9 * step, 10 * step),
            (FREE.bytes + 8 * step, 8 * step),
            (FREE.bytes + 1, step),
            (FREE.bytes, 0),
            (
                usize::MAX >> 1,
                ((usize::MAX >> 1) - FREE.bytes).div_ceil(step) * step,
            ),
            (0, 0),
        ];
        for (held, taken) in table {
            lease.hold(1, held);
            assert_eq!(budget.used(), (0, taken), "{held} held");
        }
        lease.hold(FREE.messages + 1, 0);
        assert_eq!(budget.used(), (FREE.messages, 0));
        drop(lease);
        assert_eq!(budget.used(), (0, 0));
    }

    #[test]
    fn a_used_up_budget_leaves_each_queue_what_is_free() {
        let budget = Budget::new(1_000_000, 4 * FREE.bytes);
        let mut greedy = Lease::new(budget.clone());
        let modest = Lease::new(budget.clone());
        assert!(modest.has_room(FREE.messages, FREE.bytes));
        let mut bytes = 0;
        while greedy.has_room(1, bytes) {
            bytes += 1000;
            greedy.hold(1, bytes);
        }
        assert!(bytes <= 5 * FREE.bytes, "{bytes}");
        assert!(modest.has_room(FREE.messages - 1, FREE.bytes - 1));
        assert!(!modest.has_room(1, FREE.bytes));
        assert!(!modest.has_room(FREE.messages, 1));
        drop(greedy);
        assert!(modest.has_room(1, FREE.bytes));
    }
}
