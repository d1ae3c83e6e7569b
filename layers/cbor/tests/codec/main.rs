//! Our codecs against ciborium's, and the two decoders of the channel codec against each other.
//!
//! `random` makes messages, `oracle` their CBOR; `encode`, `decode`, `alias`, `hostile`, `looking` and `typed` are
//! the tests.

// Tests and their helpers panic when they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod alias;
mod decode;
mod encode;
mod hostile;
mod looking;
mod oracle;
mod random;
mod support;
mod typed;
