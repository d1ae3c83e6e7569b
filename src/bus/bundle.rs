//! Bundles: messages of one sender to the same receivers that follow each other, as one message. What they say stands in
//! one body, as byte strings of CBOR, and its number is that of the last. Those to all are plain; in an addressed bundle,
//! what each is for stands before what it says.
//!
//! In: messages. Out: a bundle, and its messages again. Touches nothing. A hub passes a bundle on as it is, so a small
//! message costs it almost nothing.

use bytes::Bytes;
use kyneta_uds_bus::{Message, SeqNo};

use super::{
    codec::{
        message::{kind_of, what_for},
        write::{BYTES, UNSIGNED},
    },
    wire::{Body, Kind},
};

/// The most bytes of a body. One of 16 KiB or more is written without a copy.
pub(crate) const MAX_BYTES: usize = 20 << 10;

/// Messages of more bytes are sent alone.
const MAX_EACH: usize = 4 << 10;

/// How many messages there may be beside the last.
pub(crate) const MAX_MORE: u32 = 1023;

/// The most bytes before what a message says: its length, and what it is for.
const HEAD: usize = 12;

/// A bundle that grows.
#[derive(Debug)]
pub(crate) struct Bundle {
    last: SeqNo,
    addressed: bool,
    more: u32,
    at_once: bool,
    data: Vec<u8>,
}

impl Bundle {
    /// A bundle of two messages to the same receivers, if they may be in one.
    pub(crate) fn of(first: &Message<Body>, second: &Message<Body>) -> Option<Self> {
        let size = first.body.data.len() + second.body.data.len();
        if !may_be_in_one(first) || !may_be_in_one(second) || second.n.0 != first.n.0 + 1 {
            return None;
        }
        let mut bundle = Self {
            last: first.n,
            addressed: first.addressed,
            more: 0,
            at_once: first.body.at_once,
            data: Vec::with_capacity(4 * (size + 2 * HEAD)),
        };
        bundle.put(&first.body);
        bundle.add(second).then_some(bundle)
    }

    /// Adds a message to the same receivers. False if it may not be in this bundle: then nothing is changed.
    #[inline]
    pub(crate) fn add(&mut self, message: &Message<Body>) -> bool {
        let size = self.data.len() + HEAD + message.body.data.len();
        if message.n.0 != self.last.0 + 1
            || message.addressed != self.addressed
            || self.more >= MAX_MORE
            || size > MAX_BYTES
            || !may_be_in_one(message)
        {
            return false;
        }
        if size > self.data.capacity() {
            // It has grown: it will probably be a full one.
            self.data.reserve_exact(MAX_BYTES - self.data.len());
        }
        self.put(&message.body);
        self.last = message.n;
        self.more += 1;
        self.at_once |= message.body.at_once;
        true
    }

    #[inline]
    fn put(&mut self, body: &Body) {
        if self.addressed {
            head(&mut self.data, UNSIGNED, what_for(body.kind));
        }
        head(&mut self.data, BYTES, body.data.len() as u64);
        self.data.extend_from_slice(&body.data);
    }

    pub(crate) fn into_message(self) -> Message<Body> {
        Message {
            n: self.last,
            addressed: self.addressed,
            body: Body {
                kind: Kind::Bundle(self.more),
                at_once: self.at_once,
                data: self.data.into(),
                trace: None,
            },
        }
    }
}

fn may_be_in_one(message: &Message<Body>) -> bool {
    let body = &message.body;
    let may_be = match body.kind {
        Kind::Plain => true,
        Kind::Bundle(_) => false,
        _ => message.addressed,
    };
    may_be && body.trace.is_none() && body.data.len() <= MAX_EACH
}

/// Writes the head of an item.
#[inline(always)]
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let [.., e, f, g, h] = value.to_be_bytes();
    match value {
        0..24 => out.push(major << 5 | h),
        24..0x100 => out.extend_from_slice(&[major << 5 | 24, h]),
        0x100..0x1_0000 => out.extend_from_slice(&[major << 5 | 25, g, h]),
        0x1_0000..0x1_0000_0000 => out.extend_from_slice(&[major << 5 | 26, e, f, g, h]),
        _ => {
            out.push(major << 5 | 27);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Takes the first message off: what it is for, and what it says. `None` when there is none, or another item.
#[inline]
pub(crate) fn next<'a>(rest: &mut &'a [u8], addressed: bool) -> Option<(Kind, &'a [u8])> {
    let kind = match addressed {
        true => next_kind(rest)?,
        false => Kind::Plain,
    };
    Some((kind, next_data(rest)?))
}

fn next_kind(rest: &mut &[u8]) -> Option<Kind> {
    let (first, after) = rest.split_first()?;
    let size = match first {
        0..24 => 0,
        24..28 => 1 << (first - 24),
        _ => return None,
    };
    let (bytes, after) = after.split_at_checked(size)?;
    let value = match size {
        0 => u64::from(*first),
        _ => bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    *rest = after;
    kind_of(value).filter(|kind| !matches!(kind, Kind::Bundle(_)))
}

#[inline]
fn next_data<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = match **rest {
        [head @ 0x40..0x58, ref after @ ..] => (usize::from(head & 0x1f), after),
        [0x58, len, ref after @ ..] => (usize::from(len), after),
        [0x59, high, low, ref after @ ..] => (usize::from(high) << 8 | usize::from(low), after),
        _ => return None,
    };
    let (data, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(data)
}

/// How many messages of a user's it is.
pub(crate) const fn count(message: &Message<Body>) -> usize {
    match message.body.kind {
        Kind::Bundle(more) => more as usize + 1,
        _ => 1,
    }
}

/// The number of its first message.
pub(crate) const fn first(message: &Message<Body>) -> SeqNo {
    match message.body.kind {
        Kind::Bundle(more) => SeqNo(message.n.0.saturating_sub(more as u64)),
        _ => message.n,
    }
}

/// True when there are as many messages in a bundle's body as it says.
pub(crate) fn is_whole(data: &[u8], more: u32, addressed: bool) -> bool {
    let mut rest = data;
    (0..=more).all(|_| next(&mut rest, addressed).is_some()) && rest.is_empty()
}

/// The last messages of a bundle, so many, as one.
pub(crate) fn newest(message: Message<Body>, count: u64) -> Message<Body> {
    let Kind::Bundle(more) = message.body.kind else {
        return message;
    };
    let Some(more_left) = u32::try_from(count)
        .ok()
        .and_then(|count| count.checked_sub(1))
    else {
        return message;
    };
    let mut rest = &*message.body.data;
    for _ in more_left..more {
        let _ = next(&mut rest, message.addressed);
    }
    let data = message.body.data.slice_ref(rest);
    Message {
        body: Body {
            kind: Kind::Bundle(more_left),
            data,
            ..message.body
        },
        ..message
    }
}

/// Its messages, one by one.
pub(crate) fn each(message: &Message<Body>) -> impl Iterator<Item = Message<Body>> + '_ {
    let is_bundle = matches!(message.body.kind, Kind::Bundle(_));
    let mut rest = &*message.body.data;
    let numbers = first(message).0..=message.n.0;
    numbers.map_while(move |n| {
        let (kind, data): (_, Bytes) = match is_bundle {
            true => {
                let (kind, data) = next(&mut rest, message.addressed)?;
                (kind, message.body.data.slice_ref(data))
            }
            false => (message.body.kind, message.body.data.clone()),
        };
        Some(Message {
            n: SeqNo(n),
            addressed: message.addressed,
            body: Body {
                kind,
                at_once: message.body.at_once,
                data,
                trace: message.body.trace.clone(),
            },
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bus::trace::TraceParent;

    fn message(n: u64, size: usize) -> Message<Body> {
        Message {
            n: SeqNo(n),
            addressed: false,
            body: Body {
                kind: Kind::Plain,
                at_once: false,
                data: vec![n as u8; size].into(),
                trace: None,
            },
        }
    }

    #[test]
    fn its_messages_are_those_that_were_added() {
        let sizes = [0, 1, 23, 24, 255, 256, 4096];
        let all: Vec<_> = (1..=7).map(|n| message(n, sizes[n as usize - 1])).collect();
        let mut bundle = Bundle::of(&all[0], &all[1]).unwrap();
        assert!(all[2..].iter().all(|message| bundle.add(message)));
        let bundle = bundle.into_message();
        assert_eq!(
            (first(&bundle), bundle.n, count(&bundle)),
            (SeqNo(1), SeqNo(7), 7)
        );
        assert!(is_whole(&bundle.body.data, 6, false));
        assert!(
            [5, 7]
                .iter()
                .all(|more| !is_whole(&bundle.body.data, *more, false))
        );
        assert_eq!(each(&bundle).collect::<Vec<_>>(), all);
        for left in 1..=7 {
            let newest = newest(bundle.clone(), left as u64);
            assert_eq!(each(&newest).collect::<Vec<_>>(), all[7 - left..]);
        }
    }

    #[test]
    fn what_each_message_to_one_is_for_stands_before_it() {
        let kinds = [
            Kind::Request,
            Kind::Answer(0),
            Kind::Plain,
            Kind::Failure(50),
            Kind::Cancel(60_000),
            Kind::Answer(3_000_000_000),
            Kind::Answer(1 << 60),
        ];
        let mut all: Vec<_> = (1..=7).map(|n| message(n, n as usize)).collect();
        for (message, kind) in all.iter_mut().zip(kinds) {
            (message.addressed, message.body.kind) = (true, kind);
        }
        let mut bundle = Bundle::of(&all[0], &all[1]).unwrap();
        assert!(all[2..].iter().all(|message| bundle.add(message)));
        let bundle = bundle.into_message();
        let data = &bundle.body.data;
        assert!(is_whole(data, 6, true) && !is_whole(data, 6, false));
        assert!((0..data.len()).all(|end| !is_whole(&data[..end], 6, true)));
        assert_eq!(each(&bundle).collect::<Vec<_>>(), all);
        assert_eq!(each(&newest(bundle, 3)).collect::<Vec<_>>(), all[4..]);
    }

    #[test]
    fn what_may_not_be_in_one_is_not() {
        let plain = message(1, 8);
        let addressed = Message {
            addressed: true,
            ..message(2, 8)
        };
        let mut request = message(2, 8);
        request.body.kind = Kind::Request;
        let mut traced = message(2, 8);
        traced.body.trace = TraceParent::new(1, 2, 0).map(Arc::new);
        assert!(Bundle::of(&addressed, &plain).is_none());
        for other in [
            message(3, 8),
            message(1, 8),
            message(2, MAX_EACH + 1),
            addressed,
            request,
            traced,
        ] {
            assert!(Bundle::of(&plain, &other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn it_has_bounds() {
        for size in [0, 100, MAX_EACH] {
            let mut bundle = Bundle::of(&message(1, size), &message(2, size)).unwrap();
            let added = (3..).take_while(|n| bundle.add(&message(*n, size))).count();
            let bundle = bundle.into_message();
            assert_eq!(count(&bundle), added + 2);
            assert!(bundle.body.data.len() <= MAX_BYTES && added < MAX_MORE as usize);
            assert!(size == 0 || bundle.body.data.len() > MAX_BYTES - MAX_EACH - 2 * HEAD);
        }
    }

    #[test]
    fn a_body_that_is_cut_or_changed_is_not_whole() {
        let bundle = Bundle::of(&message(1, 30), &message(2, 3))
            .unwrap()
            .into_message();
        let data = &bundle.body.data;
        assert!((0..data.len()).all(|end| !is_whole(&data[..end], 1, false)));
        for head in [0x00, 0x5a, 0x60, 0x80, 0xff] {
            let mut changed = data.to_vec();
            changed[0] = head;
            assert!(!is_whole(&changed, 1, false), "{head:#x}");
        }
    }
}
