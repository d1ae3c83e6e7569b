//! Room on the stack for what the library does by recursion.
//!
//! In: a call of the library, and how deep a document may be nested. Out: what the call returns. Touches the stack: where
//! this one is too short, another one, for as long as the call takes.
//!
//! The library deletes a container with those in it, each by a call within a call: 20,000 maps in each other and the
//! deletion of the first one, 160 kB, use up the usual 2 MiB. That ends the process, and no `catch_unwind` prevents it.

/// More than the library takes for a container, without optimization. It is reserved, not used.
const FRAME: usize = 4 << 10;

/// What everything else takes.
const BASE: usize = 512 << 10;

/// Calls, with a stack for so many containers in each other.
///
/// # Panics
/// When there can be no such stack. Nothing was called then.
pub(crate) fn call<T>(containers: usize, call: impl FnOnce() -> T) -> T {
    let stack = BASE.saturating_add(containers.saturating_mul(FRAME));
    stacker::maybe_grow(stack, stack, call)
}
