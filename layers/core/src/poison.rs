//! What a poisoned lock means: nothing. No code that can panic runs under the locks of these crates.
//!
//! In: what `lock()` or a `Condvar` returns. Out: the guard. Touches nothing.

use std::sync::{LockResult, PoisonError};

/// The guard, poisoned or not.
///
/// ```
/// use std::sync::Mutex;
/// use kyneta_uds_core::ignore_poison;
/// assert_eq!(*ignore_poison(Mutex::new(7).lock()), 7);
/// ```
#[inline]
pub fn ignore_poison<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}
