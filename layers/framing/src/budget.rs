//! A memory budget for large inbound frames, shared by many connections.
//!
//! In: the size that a read buffer is about to have. Out: whether the budget allows it. Touches only the shared
//! counts, and only while a large frame arrives; small messages never use it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{error::FramingError, read_buf::LARGE_ALLOCATION};

/// Default size, bytes.
const LIMIT: usize = 256 << 20;

/// The unit of leases, bytes.
const STEP: usize = 64 << 10;

/// Memory for inbound frames, shared by many connections: those of one [`Framing`](crate::Framing) service
/// and its clones, or of all services that were given a clone of the budget.
///
/// The first 128 KiB of each connection do not count, so small messages always pass. A larger frame leases
/// memory in steps of 64 KiB as its bytes arrive, whatever its header announces. The lease ends when the frame
/// has been passed on, or up to 40 ms later while three quarters of the budget are free, or when the connection
/// ends. A connection that needs more than is left ends with
/// [`FramingError::OverBudget`](crate::FramingError::OverBudget).
///
/// The connections of one user (the peer's uid, if the kernel reports it) can use only a part of the budget, so
/// that those of other users still pass.
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
    usage: Mutex<Usage>,
}

#[derive(Default)]
struct Usage {
    bytes: usize,
    /// Per user with any.
    by_uid: HashMap<u32, usize>,
}

impl InboundBudget {
    /// A budget of `bytes`, of which one user can use three quarters.
    pub fn new(bytes: usize) -> Self {
        Self {
            uid_limit: bytes - bytes / 4,
            pool: Arc::new(Pool {
                limit: bytes,
                usage: Mutex::default(),
            }),
        }
    }

    /// Limits the bytes that the connections of one user can use. Default: three quarters of all. Existing clones keep
    /// their limit.
    #[must_use]
    pub fn per_uid(mut self, bytes: usize) -> Self {
        self.uid_limit = bytes;
        self
    }

    /// The size of the budget, bytes.
    pub fn limit(&self) -> usize {
        self.pool.limit
    }

    /// The bytes that the connections of one user can use.
    pub fn uid_limit(&self) -> usize {
        self.uid_limit
    }

    /// The bytes in use, in steps of 64 KiB.
    pub fn used(&self) -> usize {
        self.pool.usage().bytes
    }
}

impl Default for InboundBudget {
    /// 256 MiB, 192 MiB for one user.
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl Pool {
    /// No code panics while it is locked, so it is never poisoned.
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Equal if both share one budget with the same limit per user.
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

/// What one connection uses of a budget; released on drop.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    budget: Option<InboundBudget>,
    uid: Option<u32>,
    held: usize,
}

impl Lease {
    pub(crate) fn new(budget: Option<InboundBudget>, uid: Option<u32>) -> Self {
        Self {
            budget,
            uid,
            held: 0,
        }
    }

    /// Leases what a buffer of `bytes` needs, for a frame of `size`.
    pub(crate) fn grow_to(&mut self, bytes: usize, size: usize) -> Result<(), FramingError> {
        let more = leased_for(bytes).saturating_sub(self.held);
        let Some(budget) = self.budget.as_ref().filter(|_| more > 0) else {
            return Ok(());
        };
        let over = |used, limit, uid| FramingError::OverBudget {
            size,
            used,
            limit,
            uid,
        };
        let mut usage = budget.pool.usage();
        if usage.bytes.saturating_add(more) > budget.pool.limit {
            return Err(over(usage.bytes, budget.pool.limit, None));
        }
        if let Some(uid) = self.uid {
            let used = usage.by_uid.get(&uid).copied().unwrap_or(0);
            if used.saturating_add(more) > budget.uid_limit {
                return Err(over(used, budget.uid_limit, Some(uid)));
            }
            usage.by_uid.insert(uid, used + more);
        }
        usage.bytes += more;
        self.held += more;
        Ok(())
    }

    /// True while no more than a quarter of the budget is used.
    pub(crate) fn leaves_most(&self) -> bool {
        let Some(budget) = self.budget.as_ref().filter(|_| self.held > 0) else {
            return true;
        };
        let usage = budget.pool.usage();
        let by_uid = self.uid.and_then(|uid| usage.by_uid.get(&uid));
        usage.bytes <= budget.pool.limit / 4
            && by_uid.is_none_or(|used| *used <= budget.uid_limit / 4)
    }

    /// Releases what a buffer of `bytes` does not need.
    #[inline]
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.held > 0 {
            self.release(self.held.saturating_sub(leased_for(bytes)));
        }
    }

    fn release(&mut self, bytes: usize) {
        let Some(budget) = self.budget.as_ref().filter(|_| bytes > 0) else {
            return;
        };
        self.held -= bytes;
        let mut usage = budget.pool.usage();
        usage.bytes -= bytes;
        if let Some(uid) = self.uid
            && let Some(used) = usage.by_uid.get_mut(&uid)
        {
            *used -= bytes;
            if *used == 0 {
                usage.by_uid.remove(&uid);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release(self.held);
    }
}

/// The lease that a buffer of `bytes` needs.
fn leased_for(bytes: usize) -> usize {
    bytes.saturating_sub(LARGE_ALLOCATION).div_ceil(STEP) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_leases_nothing_and_a_large_one_what_it_needs() {
        let budget = InboundBudget::new(10 * STEP);
        let mut lease = Lease::new(Some(budget.clone()), None);
        let table = [
            (LARGE_ALLOCATION, 0),
            (LARGE_ALLOCATION + 1, STEP),
            (LARGE_ALLOCATION + 5 * STEP, 5 * STEP),
            (LARGE_ALLOCATION + 10 * STEP, 10 * STEP),
        ];
        for (bytes, used) in table {
            lease.grow_to(bytes, bytes).unwrap();
            assert_eq!(budget.used(), used);
        }
        lease.grow_to(0, 0).unwrap();
        assert_eq!(budget.used(), 10 * STEP, "asking for less releases nothing");
        lease.shrink_to(LARGE_ALLOCATION + 2 * STEP);
        assert_eq!(budget.used(), 2 * STEP);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lease_leaves_less_for_the_others_and_a_refusal_leases_nothing() {
        let budget = InboundBudget::new(10 * STEP).per_uid(6 * STEP);
        let lease = |uid| Lease::new(Some(budget.clone()), uid);
        let (mut a, mut b, mut c, mut unknown) =
            (lease(Some(1)), lease(Some(1)), lease(Some(2)), lease(None));
        let grow = |lease: &mut Lease, bytes| lease.grow_to(bytes, 9).unwrap();
        let refused = |lease: &mut Lease, bytes| match lease.grow_to(bytes, 9) {
            Err(FramingError::OverBudget {
                size: 9,
                used,
                limit,
                uid,
            }) => (used, limit, uid),
            other => panic!("{other:?}"),
        };
        grow(&mut a, LARGE_ALLOCATION + 4 * STEP);
        assert_eq!(
            refused(&mut b, LARGE_ALLOCATION + 3 * STEP),
            (4 * STEP, 6 * STEP, Some(1))
        );
        grow(&mut c, LARGE_ALLOCATION + 5 * STEP);
        assert_eq!(
            refused(&mut unknown, LARGE_ALLOCATION + 2 * STEP),
            (9 * STEP, 10 * STEP, None)
        );
        drop(a);
        grow(&mut unknown, LARGE_ALLOCATION + 5 * STEP);
        drop((b, c, unknown));
        assert_eq!(budget.used(), 0);
        assert!(budget.pool.usage().by_uid.is_empty());
    }
}
