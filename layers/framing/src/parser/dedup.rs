//! Repeated and missing frames, by the sequence numbers of wire version 3 (wire section 9).
//!
//! In: the sequence number and payload of each frame, in order. Out: whether to yield the frame. Pure.
//!
//! Senders number their frames from 1, but receivers accept any number. So a repeated number alone proves
//! nothing: a peer that does not number its frames must lose none. A peer is taken to number its frames as soon
//! as one number follows the one before, and for as long as its numbers increase.
//!
//! Cost: one compare and a few stores for each frame with the next number; per read, a hash of its last payload.

use std::ops::Range;

use kyneta_uds_core::{Notice, Saved, SavedError};

/// A payload of up to this size is hashed completely, bytes.
const WHOLE: usize = 1 << 10;

/// Size of a hashed block of a larger payload, bytes.
const BLOCK: usize = 64;

/// Number of hashed blocks of a larger payload: evenly spaced, including the first and the last.
const BLOCKS: usize = 8;

/// Not a sequence number: none is expected before the first frame.
const NONE: u64 = u64::MAX;

/// The sequence numbers of one direction of a connection.
#[derive(Debug)]
pub(super) struct Sequence {
    /// The number after that of the previous frame.
    next: u64,
    /// The peer numbers its frames, as the previous frame has shown.
    peer_counts: bool,
    /// The range of the previous frame's payload in the current run of frames. It starts at 0 when that run is
    /// gone: before each payload is a header.
    previous: Range<usize>,
    /// That payload, when its run is gone.
    fingerprint: Option<Fingerprint>,
    /// A duplicate of the previous frame has been reported already.
    duplicate_seen: bool,
}

/// What a frame's sequence number shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it is the first frame, or the peer does not number its frames.
    Unknown,
    /// It repeats the previous frame. `first`: for the first time.
    Duplicate { first: bool },
    /// Frames before it are missing.
    Gap { missing: u32 },
}

impl Sequence {
    pub(super) const fn new() -> Self {
        Self {
            next: NONE,
            peer_counts: false,
            previous: 0..0,
            fingerprint: None,
            duplicate_seen: false,
        }
    }

    /// True if the frame has the next number, as almost all do: it is accepted.
    #[inline(always)]
    pub(super) fn accept_next(&mut self, seq: u32, payload: &Range<usize>) -> bool {
        if u64::from(seq) != self.next {
            return false;
        }
        self.next = u64::from(seq.wrapping_add(1));
        self.peer_counts = true;
        self.duplicate_seen = false;
        self.previous = payload.clone();
        true
    }

    /// What the number of any other frame shows. Changes nothing.
    pub(super) fn classify(&self, seq: u32, payload: &Range<usize>, frames: &[u8]) -> Verdict {
        if !self.peer_counts {
            return Verdict::Unknown;
        }
        match seq.wrapping_sub(self.next as u32) {
            u32::MAX if self.is_previous(payload, frames) => Verdict::Duplicate {
                first: !self.duplicate_seen,
            },
            missing @ 1..0x8000_0000 => Verdict::Gap { missing },
            _ => Verdict::Unknown,
        }
    }

    /// A duplicate was dropped.
    pub(super) fn drop_duplicate(&mut self) {
        self.duplicate_seen = true;
    }

    /// `missing` frames were reported.
    pub(super) fn skip_missing(&mut self, missing: u32) {
        self.next = u64::from((self.next as u32).wrapping_add(missing));
    }

    /// Accepts a frame of a peer that is not known to number its frames.
    pub(super) fn restart(&mut self, seq: u32, payload: &Range<usize>) {
        self.next = u64::from(seq.wrapping_add(1));
        self.peer_counts = false;
        self.duplicate_seen = false;
        self.previous = payload.clone();
    }

    /// A skipped frame uses its number; frames missing before it are a gap. The second fragment of a message
    /// has a number in the past, which shows nothing.
    pub(super) fn skip_frame(&mut self, seq: u32) -> Option<Notice> {
        let missing = seq.wrapping_sub(self.next as u32);
        if !self.peer_counts || missing >= 1 << 31 {
            return None;
        }
        // The missing frames are added by `skip_missing`, once they are reported.
        self.next = u64::from((self.next as u32).wrapping_add(1));
        self.previous = 0..0;
        self.fingerprint = None;
        (missing > 0).then_some(Notice::Gap { missing })
    }

    /// The current run of frames is about to be dropped: keeps what is needed of its last payload.
    pub(super) fn keep_fingerprint(&mut self, frames: &[u8]) {
        if self.peer_counts && self.previous.start > 0 {
            let payload = frames.get(self.previous.clone()).unwrap_or_default();
            self.fingerprint = Some(Fingerprint::of(payload));
        }
        self.previous = 0..0;
    }

    /// As fields. `frames` is the current run of frames.
    pub(super) fn save(&self, frames: &[u8], part: Saved) -> Saved {
        let previous = frames.get(self.previous.clone());
        let here = previous.filter(|_| self.previous.start > 0);
        let mut part = part
            .with("peer-counts", self.peer_counts)
            .with("duplicate-seen", self.duplicate_seen);
        if self.next != NONE {
            part = part.with("next-seq-in", self.next);
        }
        if let Some(mark) = here.map(Fingerprint::of).or(self.fingerprint) {
            part = part
                .with("last-frame-size", mark.len as u64)
                .with("last-frame-hash", mark.hash);
        }
        part
    }

    pub(super) fn restore(&mut self, part: &Saved) -> Result<(), SavedError> {
        self.peer_counts = part.flag("peer-counts")?;
        self.duplicate_seen = part.flag("duplicate-seen")?;
        self.next = part.number_if_any("next-seq-in")?.unwrap_or(NONE);
        self.previous = 0..0;
        let size = part.number_if_any("last-frame-size")?;
        self.fingerprint = match size.and_then(|size| usize::try_from(size).ok()) {
            Some(len) => Some(Fingerprint {
                len,
                hash: part.number("last-frame-hash")?,
            }),
            None => None,
        };
        Ok(())
    }

    fn is_previous(&self, payload: &Range<usize>, frames: &[u8]) -> bool {
        let payload = frames.get(payload.clone()).unwrap_or_default();
        if self.previous.start > 0 {
            frames.get(self.previous.clone()) == Some(payload)
        } else {
            self.fingerprint == Some(Fingerprint::of(payload))
        }
    }
}

/// The fingerprint of a payload that is gone. Of a large payload only some blocks are hashed: hashing all of it
/// would cost more than everything else that the parser does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    len: usize,
    hash: u64,
}

impl Fingerprint {
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

/// Hashes 16 bytes at a time; the last 16 may overlap those before.
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

/// The product of two words that both depend on the input, folded from 128 bits to 64.
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
    fn a_small_payload_differs_from_any_that_differs_in_one_bit() {
        for len in [1, 7, 8, 9, 64, 200, WHOLE] {
            let payload = vec![0x5a; len];
            for at in 0..len.min(256) {
                for bit in 0..8 {
                    let mut other = payload.clone();
                    other[len - 1 - at] ^= 1 << bit;
                    assert_ne!(
                        Fingerprint::of(&payload),
                        Fingerprint::of(&other),
                        "{len} {at} {bit}"
                    );
                }
            }
        }
        assert_ne!(Fingerprint::of(&[0; 8]), Fingerprint::of(&[0; 16]));
        assert_ne!(Fingerprint::of(&[]), Fingerprint::of(&[0]));
    }

    #[test]
    fn a_large_payload_differs_when_its_ends_or_blocks_between_differ() {
        let payload = vec![1; 300_000];
        for at in [0, 42_900, 150_000, 299_999] {
            let mut other = payload.clone();
            for byte in other[at..].iter_mut().take(50_000) {
                *byte = 2;
            }
            assert_ne!(Fingerprint::of(&payload), Fingerprint::of(&other), "{at}");
        }
        assert_eq!(Fingerprint::of(&payload), Fingerprint::of(&payload.clone()));
    }
}
