//! Memory for large frames that arrive, shared by many connections.
//!
//! In: how much a read buffer is about to hold. Out: whether it may. Touches nothing but the shared
//! counts, and those only while a large frame arrives: a connection of small messages never asks.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::read_buf::LARGE;

/// Bytes, unless chosen otherwise: 256 MiB.
const LIMIT: usize = 256 << 20;

/// What is taken at a time, bytes.
const STEP: usize = 64 << 10;

/// Room for frames that are arriving, in bytes, shared by many connections: all that one
/// [`FramingLayer`](crate::FramingLayer) has made a maker for, or all that were given a clone of it.
///
/// The first 128 KiB of each connection do not count, so a small message always passes. A larger frame
/// takes room in steps of 64 KiB as it arrives, never at its header's word, and gives it back when it
/// has been handed on, or when the connection ends. A connection that asks for more than there is ends
/// with [`FramingError::OverBudget`](crate::FramingError::OverBudget).
///
/// The connections of one user (the peer's uid, where the kernel tells it) take at most a part of it,
/// so that another user's still pass.
///
/// ```
/// use kyneta_uds_framing::{FramingLayer, InboundBudget};
///
/// let budget = InboundBudget::new(64 << 20).per_uid(16 << 20);
/// let layer = FramingLayer::new().inbound_budget(budget.clone());
/// assert_eq!((budget.limit(), budget.uid_limit(), budget.used()), (64 << 20, 16 << 20, 0));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct InboundBudget {
    uid_limit: usize,
    pool: Arc<Pool>,
}

struct Pool {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    /// Of each user that has taken any.
    by_uid: HashMap<u32, usize>,
}

impl InboundBudget {
    /// Room for so many bytes, three quarters of it for one user at most.
    pub fn new(bytes: usize) -> Self {
        Self {
            uid_limit: bytes - bytes / 4,
            pool: Arc::new(Pool {
                limit: bytes,
                taken: Mutex::default(),
            }),
        }
    }

    /// How many bytes the connections of one user may take. Clones made before keep what they had.
    #[must_use]
    pub fn per_uid(mut self, bytes: usize) -> Self {
        self.uid_limit = bytes;
        self
    }

    /// How many bytes there are in all.
    pub fn limit(&self) -> usize {
        self.pool.limit
    }

    /// How many bytes the connections of one user may take.
    pub fn uid_limit(&self) -> usize {
        self.uid_limit
    }

    /// How many bytes are taken, in steps of 64 KiB.
    pub fn used(&self) -> usize {
        self.pool.taken().bytes
    }
}

impl Default for InboundBudget {
    /// 256 MiB, 192 MiB for one user.
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl Pool {
    /// Nothing panics while it is locked, so it is never poisoned.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same budget.
impl PartialEq for InboundBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool) && self.uid_limit == other.uid_limit
    }
}

impl Eq for InboundBudget {}

impl fmt::Debug for InboundBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundBudget")
            .field("used", &self.used())
            .field("limit", &self.limit())
            .field("uid_limit", &self.uid_limit)
            .finish()
    }
}

/// What one connection has taken. Given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    budget: Option<InboundBudget>,
    uid: Option<u32>,
    held: usize,
}

/// There is not as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) used: usize,
    pub(crate) limit: usize,
    /// The user whose part is used up; all is when absent.
    pub(crate) uid: Option<u32>,
}

impl Lease {
    pub(crate) fn of(budget: Option<InboundBudget>, uid: Option<u32>) -> Self {
        Self {
            budget,
            uid,
            held: 0,
        }
    }

    /// Takes what a buffer of `bytes` needs.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = need(bytes).saturating_sub(self.held);
        let Some(budget) = self.budget.as_ref().filter(|_| more > 0) else {
            return Ok(());
        };
        let mut taken = budget.pool.taken();
        if taken.bytes.saturating_add(more) > budget.pool.limit {
            return Err(Exhausted {
                used: taken.bytes,
                limit: budget.pool.limit,
                uid: None,
            });
        }
        if let Some(uid) = self.uid {
            let used = taken.by_uid.get(&uid).copied().unwrap_or(0);
            if used.saturating_add(more) > budget.uid_limit {
                return Err(Exhausted {
                    used,
                    limit: budget.uid_limit,
                    uid: Some(uid),
                });
            }
            taken.by_uid.insert(uid, used + more);
        }
        taken.bytes += more;
        self.held += more;
        Ok(())
    }

    /// Gives back what a buffer of `bytes` does not need.
    #[inline]
    pub(crate) fn keep(&mut self, bytes: usize) {
        if self.held > 0 {
            self.give_back(self.held.saturating_sub(need(bytes)));
        }
    }

    fn give_back(&mut self, bytes: usize) {
        let Some(budget) = self.budget.as_ref().filter(|_| bytes > 0) else {
            return;
        };
        self.held -= bytes;
        let mut taken = budget.pool.taken();
        taken.bytes -= bytes;
        if let Some(uid) = self.uid
            && let Some(used) = taken.by_uid.get_mut(&uid)
        {
            *used -= bytes;
            if *used == 0 {
                taken.by_uid.remove(&uid);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

/// What is taken for a buffer of `bytes`.
fn need(bytes: usize) -> usize {
    bytes.saturating_sub(LARGE).div_ceil(STEP) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_takes_nothing_and_a_large_one_what_it_needs() {
        let budget = InboundBudget::new(10 * STEP);
        let mut lease = Lease::of(Some(budget.clone()), None);
        let table = [
            (LARGE, 0),
            (LARGE + 1, STEP),
            (LARGE + 5 * STEP, 5 * STEP),
            (LARGE + 10 * STEP, 10 * STEP),
        ];
        for (bytes, used) in table {
            lease.cover(bytes).unwrap();
            assert_eq!(budget.used(), used);
        }
        lease.cover(0).unwrap();
        assert_eq!(
            budget.used(),
            10 * STEP,
            "asking for less gives nothing back"
        );
        lease.keep(LARGE + 2 * STEP);
        assert_eq!(budget.used(), 2 * STEP);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_one_has_taken_the_others_lack_and_a_refusal_takes_nothing() {
        let budget = InboundBudget::new(10 * STEP).per_uid(6 * STEP);
        let lease = |uid| Lease::of(Some(budget.clone()), uid);
        let (mut a, mut b, mut c, mut unknown) =
            (lease(Some(1)), lease(Some(1)), lease(Some(2)), lease(None));
        a.cover(LARGE + 4 * STEP).unwrap();
        let refused = Exhausted {
            used: 4 * STEP,
            limit: 6 * STEP,
            uid: Some(1),
        };
        assert_eq!(b.cover(LARGE + 3 * STEP), Err(refused));
        c.cover(LARGE + 5 * STEP).unwrap();
        let refused = Exhausted {
            used: 9 * STEP,
            limit: 10 * STEP,
            uid: None,
        };
        assert_eq!(unknown.cover(LARGE + 2 * STEP), Err(refused));
        drop(a);
        unknown.cover(LARGE + 5 * STEP).unwrap();
        drop((b, c, unknown));
        assert_eq!(budget.used(), 0);
        assert!(budget.pool.taken().by_uid.is_empty());
    }
}
