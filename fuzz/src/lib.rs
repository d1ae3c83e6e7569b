//! The fuzz targets as plain functions: each takes an input and panics when it finds a fault. They touch nothing.
//!
//! `fuzz_targets` calls them from libFuzzer, `tests/corpus.rs` of the workspace with the corpus.

#![forbid(unsafe_code)]
mod bus;
mod client;
mod cuts;
mod decode;
mod frame_oracle;
mod frames;
mod messages;
mod negotiate;
mod normalize;
#[path = "../../layers/cbor/tests/codec/oracle.rs"]
mod oracle;
mod relay;
mod session;

pub use bus::bus;
pub use client::client;
pub use decode::decode;
pub use frames::frames;
pub use negotiate::negotiate;
pub use relay::relay;
pub use session::session;

/// A target: takes one input.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("frames", frames),
    ("decode", decode),
    ("session", session),
    ("client", client),
    ("negotiate", negotiate),
    ("relay", relay),
    ("bus", bus),
];
