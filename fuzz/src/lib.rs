//! The fuzz targets as plain functions: each takes an input and panics when it finds a fault. They touch nothing.
//!
//! `fuzz_targets` calls them from libFuzzer, `tests/corpus.rs` of the workspace with the corpus. The targets `loro`
//! and `yjs` are included by their own fuzz targets and by `tests/corpus.rs` of their crates, because of their libraries.

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
mod offers;
#[path = "../../layers/cbor/tests/codec/oracle.rs"]
mod oracle;
mod relay;
mod schema;
mod session;
mod sync;

pub use bus::bus;
pub use client::client;
pub use decode::decode;
pub use frames::frames;
pub use negotiate::negotiate;
pub use offers::offers;
pub use relay::relay;
pub use schema::schema;
pub use session::session;
pub use sync::sync;

/// A target: takes one input.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("frames", frames),
    ("decode", decode),
    ("session", session),
    ("client", client),
    ("negotiate", negotiate),
    ("relay", relay),
    ("schema", schema),
    ("offers", offers),
    ("sync", sync),
    ("bus", bus),
];
