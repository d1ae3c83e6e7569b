//! Everything that can happen to one path among a few peers, run with the machines that the peers
//! really are: the negotiation, the claim, the watch.
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
