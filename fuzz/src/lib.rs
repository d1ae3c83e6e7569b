//! What the fuzz targets do with an input, as plain functions: each takes bytes and panics when
//! something is wrong. They touch nothing.
//!
//! `fuzz_targets` hands them to libFuzzer; the workspace's `tests/corpus.rs` replays the corpus with
//! the same functions.

#![forbid(unsafe_code)]
mod client;
mod cuts;
mod decode;
mod frames;
mod messages;
mod negotiate;
mod normal;
#[path = "../../layers/cbor/tests/codec/oracle.rs"]
mod oracle;
mod reading;
mod session;

pub use client::client;
pub use decode::decode;
pub use frames::frames;
pub use negotiate::negotiate;
pub use session::session;

/// What a target does with one input.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("frames", frames),
    ("decode", decode),
    ("session", session),
    ("client", client),
    ("negotiate", negotiate),
];
