//! Our codec against ciborium's, and its two ways of reading against each other.
//!
//! `random` makes messages, `oracle` says what CBOR they are; `decode` and `hostile` compare.

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod decode;
mod hostile;
mod oracle;
mod random;
mod typed;
