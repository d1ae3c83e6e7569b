//! Everything that can happen to one path among a few peers, run with the peers' own machines: the
//! negotiation, the claim, the watch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod checked;
mod peer;
mod random;
mod world;
