//! Decoding: in, a payload; out, a message, or why it is rejected.
//!
//! [`fast`] reads keys in the order that every sender writes, in one pass. For anything else it gives up, and
//! [`general`] reads the payload: it takes keys in any order and reports what is wrong.

mod cursor;
mod fast;
mod fields;
mod form;
mod general;
mod item;
mod present;
mod retained;
mod well_formed;

use kyneta_uds_core::{ChannelMsg, MessageRef, Payload, Rejection};

use self::form::{ByRef, ByValue};
use super::{DecodeLimits, InboundState, alias};
use crate::Looked;

/// Decodes a message and passes it to `done`, which each kind of message has a call of: see
/// [`Codec::decode_then`](crate::Codec::decode_then).
#[inline(always)]
pub(super) fn message<R>(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
    done: impl Fn(Result<ChannelMsg, Rejection>) -> R,
) -> R {
    if let Some(offer) = fast::offer(&payload, ByValue(known)) {
        return done(Ok(ChannelMsg::Offer(offer)));
    }
    match fast::message(&payload, known, limits) {
        Some(decoded) => done(decoded),
        None => done(general::message(payload, known, limits)),
    }
}

/// Shows an offer in the usual form to `look`, and decodes anything else.
#[inline(always)]
pub(super) fn look(
    payload: Payload<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
    look: impl FnOnce(MessageRef<'_>),
) -> Looked<ChannelMsg> {
    if let Some(offer) = fast::offer(&payload, ByRef(known)) {
        look(MessageRef::Offer(offer));
        return Looked::Seen;
    }
    Looked::Decoded(message(payload, known, limits, |decoded| decoded))
}
