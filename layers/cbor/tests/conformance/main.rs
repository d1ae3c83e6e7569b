//! Every case of the reference's vectors, both wire versions, byte for byte.
//!
//! `vectors` reads the files, `extra_cases` has cases that they lack, `json` compares messages with their JSON form,
//! `peer` is one side of a connection without a socket. `sessions`, `inbound` and `captured` are the three kinds of
//! cases. `differences` lists the intended differences.

// Megabytes of JSON are too much for Miri.
#![cfg(not(miri))]
// Tests and their helpers panic when they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod captured;
mod differences;
mod extra_cases;
mod inbound;
mod json;
mod peer;
mod sessions;
mod vectors;
