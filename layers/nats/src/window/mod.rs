//! The two directions of a session: what may be under way, and in which order it is read.
//!
//! In: bytes and frames. Out: frames and bytes. Touches nothing.

mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;

/// How many frames may be beyond the last one that the other side has had in order.
pub(crate) const MAX_FRAMES: u64 = 1024;

/// How many bytes a frame has at most. The server takes a mebibyte by default.
pub(crate) const MAX_FRAME: usize = 60 * 1024;

/// How many frames may wait until the server has stored them. What is written meanwhile goes into fewer, larger ones.
const MAX_IN_FLIGHT: usize = 32;
