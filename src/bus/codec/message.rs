//! What is the same in each payload with a message of a user's.
//!
//! In: a message of the machine; a reader behind the first items. Out: the items of its envelope; the message again,
//! or what is wrong. Its body is neither read nor copied. Pure.

use std::sync::Arc;

use bytes::Bytes;
use kyneta_uds_core::{PayloadWriter, Rejection};

use super::{
    read::Reader,
    write::{BYTES, bytes, head, numbers},
};
use crate::bus::{
    bundle::{MAX_MORE, is_whole},
    trace::{self, TraceParent},
    wire::{Body, Kind, WireMessage},
};

const ADDRESSED: u64 = 1;
const AT_ONCE: u64 = 2;

pub(in crate::bus) fn flags(message: &WireMessage) -> u64 {
    u64::from(message.addressed) * ADDRESSED + u64::from(message.body.at_once) * AT_ONCE
}

/// What the message is for and the number that it refers to, in one: 5 n + kind.
pub(in crate::bus) const fn what_for(kind: Kind) -> u64 {
    let (kind, of) = match kind {
        Kind::Plain => (0, 0),
        Kind::Bundle(more) => (0, more as u64),
        Kind::Request => (1, 0),
        Kind::Answer(of) => (2, of),
        Kind::Failure(of) => (3, of),
        Kind::Cancel(of) => (4, of),
    };
    of.saturating_mul(5).saturating_add(kind)
}

pub(in crate::bus) const fn kind_of(what_for: u64) -> Option<Kind> {
    let of = what_for / 5;
    Some(match what_for % 5 {
        0 if of == 0 => Kind::Plain,
        0 if of <= MAX_MORE as u64 => Kind::Bundle(of as u32),
        0 => return None,
        1 => Kind::Request,
        2 => Kind::Answer(of),
        3 => Kind::Failure(of),
        _ => Kind::Cancel(of),
    })
}

pub(in crate::bus) fn body(out: &mut PayloadWriter<'_>, body: &Body) {
    numbers(out, [what_for(body.kind)]);
    bytes(out, &body.data);
    if let Some(trace) = &body.trace {
        head(out, BYTES, trace::SIZE as u64);
        out.put_slice(&trace.to_bytes());
    }
}

/// How many items a payload with this message has, which are `items` without a trace context.
pub(in crate::bus) fn with_trace(items: u64, body: &Body) -> u64 {
    items + u64::from(body.trace.is_some())
}

impl Reader<'_> {
    /// `more`: there are further items.
    pub(in crate::bus) fn message(
        &mut self,
        n: u64,
        flags: u64,
        more: bool,
    ) -> Result<WireMessage, Rejection> {
        let addressed = flags & ADDRESSED != 0;
        let (kind, data) = self.content(n, addressed)?;
        Ok(WireMessage {
            n,
            addressed,
            body: Body {
                kind,
                at_once: flags & AT_ONCE != 0,
                data,
                trace: match more {
                    true => self.trace()?.map(Arc::new),
                    false => None,
                },
            },
        })
    }

    /// What the message is for, and what it says. Of a bundle it is looked at whether it is one: behind this it is.
    pub(super) fn content(&mut self, n: u64, addressed: bool) -> Result<(Kind, Bytes), Rejection> {
        let kind = kind_of(self.number()?);
        let data = self.bytes()?;
        match kind {
            Some(Kind::Bundle(more))
                if n <= u64::from(more) || !is_whole(&data, more, addressed) => {}
            Some(kind) => return Ok((kind, data)),
            None => {}
        }
        Err(self.fail("a bundle that does not hold the messages that it says"))
    }

    /// A trace context, if that is what comes next. Something else is left to later versions.
    fn trace(&mut self) -> Result<Option<TraceParent>, Rejection> {
        if self.is_at_end() || self.next_is(BYTES) {
            return Ok(TraceParent::from_bytes(&self.bytes()?));
        }
        Ok(None)
    }
}
