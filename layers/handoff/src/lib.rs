//! Hands a listening socket and its live connections to a successor process, so that no peer sees a restart.
//!
//! A process that listens offers a handoff; a process that is started to replace it connects, receives the
//! descriptors and the state of everything, and serves. A peer sees a pause of some milliseconds. Whichever of the
//! two processes crashes at whichever step, one serves, and nothing that was acknowledged is lost.
//!
//! Both sides are pure machines, [`Predecessor`] and [`Successor`].
//!
//! | | |
//! |---|---|
//! | needs below | nothing |
//! | gives above | the two machines |
//! | touches | nothing |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod machine;

pub use machine::{
    BATCH, FORMAT, Formats, Limits, Predecessor, PredecessorEffect, PredecessorInput, Refusal,
    Successor, SuccessorEffect, SuccessorInput, Word,
};
