//! The negotiation as a table, and against the reference's own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod reference;
mod table;
