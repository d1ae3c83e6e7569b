//! Copies: under backpressure the reference writes a frame again that was accepted already, and on
//! wire version 3 the copy repeats its seq (wire section 9).
//!
//! A frame counts as a copy when it bears the seq of the one before it and is the same frame. The
//! seq alone would not do: the reference accepts any, so a peer that does not count is heard.
//!
//! One that repeats a seq for other frames, of the same length and ends in a later read, is not.
//!
//! What it costs: a compare of the seq for each frame; of the bytes only when it repeats. Of a frame
//! whose read is gone only its length and its ends are known.

use std::ops::Range;

/// How many bytes of either end are remembered of a frame whose read is gone.
const END: usize = 32;

/// The frame before.
#[derive(Debug, Default)]
pub(super) struct Before {
    seq: Option<u32>,
    payload: Payload,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Payload {
    /// In the bytes that frames are lent from.
    At(Range<usize>),
    Gone(Ends),
}

impl Default for Payload {
    fn default() -> Self {
        Self::At(0..0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    len: usize,
    head: [u8; END],
    tail: [u8; END],
}

impl Ends {
    fn of(payload: &[u8]) -> Self {
        let (mut head, mut tail) = ([0; END], [0; END]);
        for (to, from) in head.iter_mut().zip(payload) {
            *to = *from;
        }
        for (to, from) in tail.iter_mut().zip(payload.iter().rev()) {
            *to = *from;
        }
        Self {
            len: payload.len(),
            head,
            tail,
        }
    }
}

impl Before {
    /// Takes the next frame, whose payload is at `range` of `lent`. True when it is a copy.
    #[inline]
    pub(super) fn is_repeated_by(&mut self, seq: u32, range: &Range<usize>, lent: &[u8]) -> bool {
        if self.seq == Some(seq) && self.has_payload(range, lent) {
            return true;
        }
        self.seq = Some(seq);
        self.payload = Payload::At(range.clone());
        false
    }

    #[cold]
    fn has_payload(&self, range: &Range<usize>, lent: &[u8]) -> bool {
        let payload = lent.get(range.clone()).unwrap_or_default();
        match &self.payload {
            Payload::At(before) => lent.get(before.clone()) == Some(payload),
            Payload::Gone(ends) => *ends == Ends::of(payload),
        }
    }

    /// The bytes that frames are lent from are about to go.
    pub(super) fn forget(&mut self, lent: &[u8]) {
        if let (Some(_), Payload::At(range)) = (self.seq, &self.payload) {
            let payload = lent.get(range.clone()).unwrap_or_default();
            self.payload = Payload::Gone(Ends::of(payload));
        }
    }
}
