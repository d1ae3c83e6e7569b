//! What the reference wrote, read here, and what is written here beside it: the Yjs documents of
//! `tests/vectors/exchange-schema.json`, and the whole sessions of `exchange-yjs.json`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod schemas;
mod sessions;
#[path = "../../../../tests/support/documents/recorded.rs"]
mod support;
