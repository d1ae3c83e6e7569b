//! Locks a mutex, poisoned or not.

use std::sync::{Mutex, MutexGuard};

use kyneta_uds_core::ignore_poison;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    ignore_poison(mutex.lock())
}
