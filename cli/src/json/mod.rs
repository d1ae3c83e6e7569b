//! Messages as JSON, in the field names of the TypeScript package.
//!
//! In: one line's JSON. Out: a [`ChannelMsg`](kyneta_uds::ChannelMsg), or an error that names
//! the field; and the other way round. Touches nothing.
//!
//! Neither way builds a tree of the bulk data: reading borrows the line's own bytes, writing
//! streams into the line's buffer, so 16 MiB of payload cost a pass over their hex and no more.

mod error;
mod number;
mod read;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use error::JsonError;
pub(crate) use read::{Fields, bytes, message, text, truth};
pub(crate) use value::Json;
pub(crate) use write::{Hex, Msg};
