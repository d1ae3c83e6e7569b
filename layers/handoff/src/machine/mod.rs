//! The two sides of a handoff as pure machines. What they say to each other is a [`Word`]; the shell turns what
//! happens into inputs, and carries out the effects.
//!
//! ```text
//!  successor                                predecessor
//!  Hello(formats, free descriptors) ---->   serves on
//!                                   <----   Welcome(format, connections), or Refused
//!                                   <----   Shared: the descriptors of listener and lock
//!  Have(2)                          ---->
//!                                   <----   Ahead: what waits for slow readers, while it is still written (from format 2 on)
//!  Have(2)                          ---->   freezes: reads and writes no connection any more
//!                                   <----   Batch: up to 253 connections, again and again
//!  Have(2 + n)                      ---->
//!                                   <----   State: one sealed file
//!  prepares everything
//!  Taken                            ---->   leaves: closes its descriptors, unlinks and unlocks nothing
//!  serves
//! ```
//!
//! Whichever process crashes at whichever step, one serves. The predecessor gives up by shutting down the reading
//! half of the channel, which the kernel orders against the sending of `Taken`: either `Taken` is in its queue, or
//! it can never arrive. Then, before it serves again, it says `Revoked`. A successor whose `Taken` cannot be sent
//! finds `Revoked` in its queue, or else the bare end of a dead predecessor.

mod format;
mod limits;
mod predecessor;
mod successor;
mod word;

pub use format::{FORMAT, Formats};
pub use limits::Limits;
pub use predecessor::{Predecessor, PredecessorEffect, PredecessorInput};
pub use successor::{Successor, SuccessorEffect, SuccessorInput};
pub use word::{Refusal, Word};

/// Descriptors in one message, at most: the kernel's limit (SCM_MAX_FD).
pub const BATCH: u32 = 253;

#[cfg(test)]
mod tests;
