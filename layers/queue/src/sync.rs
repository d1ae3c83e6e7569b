//! What the queue synchronises with: the standard library's, or, for its model check, loom's, which
//! tries every order of what is done with them (`orders`).

#[cfg(not(all(test, kyneta_loom)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicUsize},
};

#[cfg(all(test, kyneta_loom))]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicUsize},
};
