//! What the seq of wire version 3 shows: frames that came twice, and frames that did not come (wire
//! section 9). Pure.
//!
//! In: the seq and payload of each frame, in order. Out: whether the frame goes on.
//!
//! Senders count their frames from 1, but receivers take any seq, so a repeated seq alone says
//! nothing: a peer that does not count must lose no frame. A peer counts from the first frame on that
//! bears the seq after its predecessor's, for as long as its seq goes up.
//!
//! The cost: one compare and a few stores for each frame that bears the next seq; once a read, a hash
//! of its last payload.

use std::ops::Range;

use kyneta_uds_core::Notice;

/// A payload up to this size is hashed whole, bytes.
const WHOLE: usize = 1 << 10;

/// Bytes that are hashed at a time.
const BLOCK: usize = 64;

/// How many blocks of a larger payload are hashed, evenly spaced, the first and the last among them.
const BLOCKS: usize = 8;

/// No seq: nothing is expected before the first frame.
const NONE: u64 = u64::MAX;

/// The seqs of one direction of a connection.
#[derive(Debug)]
pub(super) struct Sequence {
    /// The seq after that of the frame before.
    next: u64,
    /// The frame before bore a seq that shows that the peer counts.
    counts: bool,
    /// Where the payload of the frame before stands in the bytes that frames are lent from. Begins
    /// with 0 when those bytes are gone: a header stands before each payload.
    before: Range<usize>,
    /// That payload, when the bytes are gone.
    print: Option<Print>,
    /// A copy of the frame before has been noticed already.
    repeated: bool,
}

/// What a frame's seq shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing: it is a frame of a peer that does not count, or the first one.
    Unknown,
    /// It is the frame before once more. `first` of the copies of that frame.
    Copy { first: bool },
    /// So many frames before it are missing.
    Gap { missing: u32 },
}

impl Sequence {
    pub(super) const fn new() -> Self {
        Self {
            next: NONE,
            counts: false,
            before: 0..0,
            print: None,
            repeated: false,
        }
    }

    /// True when the frame bears the seq after its predecessor's, as almost all do: it has been taken.
    #[inline(always)]
    pub(super) fn takes(&mut self, seq: u32, payload: &Range<usize>) -> bool {
        if u64::from(seq) != self.next {
            return false;
        }
        self.next = u64::from(seq.wrapping_add(1));
        self.counts = true;
        self.repeated = false;
        self.before = payload.clone();
        true
    }

    /// What the seq of any other frame shows. Changes nothing.
    pub(super) fn order(&self, seq: u32, payload: &Range<usize>, lent: &[u8]) -> Order {
        if !self.counts {
            return Order::Unknown;
        }
        match seq.wrapping_sub(self.next as u32) {
            u32::MAX if self.is_before(payload, lent) => Order::Copy {
                first: !self.repeated,
            },
            missing @ 1..0x8000_0000 => Order::Gap { missing },
            _ => Order::Unknown,
        }
    }

    /// The frame before came again and was dropped.
    pub(super) fn repeated(&mut self) {
        self.repeated = true;
    }

    /// So many frames are missing, and it has been told.
    pub(super) fn pass_over(&mut self, missing: u32) {
        self.next = u64::from((self.next as u32).wrapping_add(missing));
    }

    /// Takes a frame whose seq shows nothing.
    pub(super) fn start_at(&mut self, seq: u32, payload: &Range<usize>) {
        self.next = u64::from(seq.wrapping_add(1));
        self.counts = false;
        self.repeated = false;
        self.before = payload.clone();
    }

    /// A frame that is skipped uses its seq up; the frames missing before it are a gap. The seq of
    /// another fragment of the same message is behind, and shows nothing.
    pub(super) fn skips(&mut self, seq: u32) -> Option<Notice> {
        let missing = seq.wrapping_sub(self.next as u32);
        if !self.counts || missing >= 1 << 31 {
            return None;
        }
        // What is missing before it is passed over once it has been told.
        self.next = u64::from((self.next as u32).wrapping_add(1));
        self.before = 0..0;
        self.print = None;
        (missing > 0).then_some(Notice::Gap { missing })
    }

    /// The bytes that frames are lent from are about to go.
    pub(super) fn forget(&mut self, lent: &[u8]) {
        if self.counts && self.before.start > 0 {
            let payload = lent.get(self.before.clone()).unwrap_or_default();
            self.print = Some(Print::of(payload));
        }
        self.before = 0..0;
    }

    fn is_before(&self, payload: &Range<usize>, lent: &[u8]) -> bool {
        let payload = lent.get(payload.clone()).unwrap_or_default();
        if self.before.start > 0 {
            lent.get(self.before.clone()) == Some(payload)
        } else {
            self.print == Some(Print::of(payload))
        }
    }
}

/// What is remembered of a payload whose read is gone. Of a large one some blocks must do: a hash of
/// all of it would cost more than all else that is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    len: usize,
    hash: u64,
}

impl Print {
    fn of(payload: &[u8]) -> Self {
        let len = payload.len();
        let mut hash = len as u64;
        if len <= WHOLE {
            hash = mix_all(hash, payload);
        } else {
            for block in 0..BLOCKS {
                let from = (len - BLOCK) / (BLOCKS - 1) * block;
                let from = if block == BLOCKS - 1 {
                    len - BLOCK
                } else {
                    from
                };
                hash = mix_all(hash, payload.get(from..from + BLOCK).unwrap_or_default());
            }
        }
        Self { len, hash }
    }
}

/// Sixteen bytes at a time; the last sixteen may overlap those before.
fn mix_all(mut hash: u64, bytes: &[u8]) -> u64 {
    let (pairs, _) = bytes.as_chunks::<16>();
    for pair in pairs {
        hash = mix(hash, u128::from_le_bytes(*pair));
    }
    match bytes.last_chunk() {
        Some(last) => mix(hash, u128::from_le_bytes(*last)),
        None => bytes
            .iter()
            .fold(hash, |hash, byte| mix(hash, u128::from(*byte))),
    }
}

/// The product of two words, both of which depend on the input, folded from 128 bits to 64.
fn mix(hash: u64, pair: u128) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (low, high) = (pair as u64, (pair >> 64) as u64);
    let product = u128::from(hash ^ low) * u128::from(high ^ ODD);
    (product as u64) ^ ((product >> 64) as u64).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_payload_is_told_from_any_that_differs_in_one_bit() {
        for len in [1, 7, 8, 9, 64, 200, WHOLE] {
            let payload = vec![0x5a; len];
            for at in 0..len.min(256) {
                for bit in 0..8 {
                    let mut other = payload.clone();
                    other[len - 1 - at] ^= 1 << bit;
                    assert_ne!(Print::of(&payload), Print::of(&other), "{len} {at} {bit}");
                }
            }
        }
        assert_ne!(Print::of(&[0; 8]), Print::of(&[0; 16]));
        assert_ne!(Print::of(&[]), Print::of(&[0]));
    }

    #[test]
    fn a_large_payload_is_told_by_its_ends_and_by_blocks_between() {
        let payload = vec![1; 300_000];
        for at in [0, 42_900, 150_000, 299_999] {
            let mut other = payload.clone();
            for byte in other[at..].iter_mut().take(50_000) {
                *byte = 2;
            }
            assert_ne!(Print::of(&payload), Print::of(&other), "{at}");
        }
        assert_eq!(Print::of(&payload), Print::of(&payload.clone()));
    }
}
