//! Decoding: in, a payload; out, a message, or why it is rejected.
//!
//! [`fast`] reads keys in the order that every sender writes, in one pass. For anything else it gives up, and
//! [`general`] reads the payload: it takes keys in any order and reports what is wrong.

mod cursor;
mod fast;
mod fields;
mod general;
mod item;
mod present;
mod retained;
mod well_formed;

use kyneta_uds_core::{ChannelMsg, Payload, Rejection};

use super::{DecodeLimits, InboundState, alias};

/// Decodes a message and passes it to `done`, which each kind of message has a call of: see
/// [`Codec::decode_then`](crate::Codec::decode_then).
#[inline(always)]
pub(super) fn message<R>(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
    done: impl Fn(Result<ChannelMsg, Rejection>) -> R,
) -> R {
    if let Some(offer) = fast::offer(&payload, known) {
        return done(Ok(ChannelMsg::Offer(offer)));
    }
    match fast::message(&payload, known, limits) {
        Some(decoded) => done(decoded),
        None => done(general::message(payload, known, limits)),
    }
}
