//! Room on the stack for what the library does by recursion.
//!
//! In: a call of the library, and how deep a document may be nested. Out: what the call returns. Touches a thread, where
//! the stack of this one may be too small.
//!
//! The library deletes a container with those in it, each by a call within a call: 20,000 maps in each other and the
//! deletion of the first one, 160 kB, use up the usual 2 MiB. That ends the process, and no `catch_unwind` prevents it.

use std::{panic::resume_unwind, thread};

/// So many containers in each other fit on any stack.
const SHALLOW: usize = 256;

/// More than the library takes for one of them, without optimization. It is reserved, not used.
const FRAME: usize = 4 << 10;

/// What everything else takes.
const BASE: usize = 2 << 20;

/// Calls, with a stack for so many containers in each other.
///
/// # Errors
/// There can be no such stack; nothing was called.
pub(crate) fn call<T: Send>(
    containers: usize,
    call: impl FnOnce() -> T + Send,
) -> Result<T, String> {
    if containers <= SHALLOW {
        return Ok(call());
    }
    let stack = BASE.saturating_add(containers.saturating_mul(FRAME));
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(stack);
        let thread = builder.spawn_scoped(scope, call).map_err(|error| {
            format!("{containers} containers may be nested in it, and there is no stack of {stack} bytes: {error}")
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
