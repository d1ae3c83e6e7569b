//! Messages as JSON, in the field names of the TypeScript package.
//!
//! In: one line's JSON. Out: a [`ChannelMsg`](kyneta_uds::ChannelMsg), or an error that names
//! the field; and the other way round. Touches nothing.
//!
//! Neither direction copies the payload into a tree: reading borrows from the line, writing streams
//! into the line's buffer, so 16 MiB of payload cost one pass over their hex.

mod error;
mod number;
mod read;
mod shown;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use error::JsonError;
pub(crate) use number::{Number, count};
pub(crate) use read::{
    Fields, boolean, bounded, bytes, linked_message, list, message, replica, text,
};
pub(crate) use shown::Value;
pub(crate) use value::Json;
pub(crate) use write::{Hashes, Hex, LinkedMsg, Msg, Payload};
