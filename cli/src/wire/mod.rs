//! `wire`: bytes to messages and back, without a socket.
//!
//! In: JSON lines, or raw bytes. Out: JSON lines. Touches nothing but the pure cores of the
//! framing and cbor layers.

mod decode;
mod encode;
mod json_lines;

pub(crate) use decode::{decode, decode_raw};
pub(crate) use encode::encode;
