//! The oracle of the frame parser: parses a whole stream at once. Written from wire sections 2 and 9, not from the
//! parser.

use kyneta_uds_core::{FrameFault, Notice, WireVersion};
use kyneta_uds_framing::WireMode;

const COMPLETE: u8 = 0;
const FRAGMENT: u8 = 1;

/// Payloads up to this size are compared by a hash of all their bytes, bytes.
const WHOLE: usize = 1 << 10;

pub(crate) struct FrameOracle<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
    /// An unknown version is an error, as on a real connection.
    strict: bool,
    settled: Option<WireVersion>,
    begin: WireVersion,
    /// The next sequence number, if the peer numbers its frames.
    next: Option<u32>,
    /// The peer numbers its frames, as the previous frame has shown.
    peer_counts: bool,
    /// The payload of the previous frame, if a frame can repeat it.
    previous: Option<&'a [u8]>,
    repeated: bool,
    duplicates: u64,
    missing: u64,
    /// Items to return first, last one first.
    pending: Vec<Item<'a>>,
}

/// An item of the stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Item<'a> {
    Payload(&'a [u8]),
    Skipped(FrameFault),
    Noticed(Notice),
    TooLarge(usize),
    UnknownVersion(u8),
    /// A large frame with the number and length of the previous one, but other bytes: whether the parser takes it
    /// for a duplicate depends on where the reads end.
    Unsure,
}

impl<'a> FrameOracle<'a> {
    pub(crate) fn new(bytes: &'a [u8], mode: WireMode, begin: WireVersion, limit: usize) -> Self {
        Self {
            bytes,
            at: 0,
            limit,
            strict: false,
            settled: match mode {
                WireMode::Fixed(wire) => Some(wire),
                _ => None,
            },
            begin,
            next: None,
            peer_counts: false,
            previous: None,
            repeated: false,
            duplicates: 0,
            missing: 0,
            pending: Vec::new(),
        }
    }

    pub(crate) fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    pub(crate) fn settled(&self) -> Option<WireVersion> {
        self.settled
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// Bytes of the partial frame at the end.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next item; `None` at the end.
    pub(crate) fn next_item(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(item) = self.pending.pop() {
                return Some(item);
            }
            let rest = &self.bytes[self.at..];
            let &version = rest.first()?;
            let known = WireVersion::from_byte(version);
            if self.settled.is_none() {
                self.settled = known;
            }
            let wire = self.settled.unwrap_or(self.begin);
            if known.is_none() && self.strict {
                return Some(Item::UnknownVersion(version));
            }
            let own = known.unwrap_or(wire);
            let header = rest.get(..own.header_len())?;
            let (kind, number) = (header[1], |at| number(header, at));
            let size = number(2) as usize;
            if size > self.limit {
                return Some(Item::TooLarge(size));
            }
            let metadata = match kind {
                FRAGMENT => own.fragment_len(),
                _ => 0,
            };
            let frame = rest.get(..header.len() + metadata + size)?;
            self.at += frame.len();
            let (metadata, payload) = frame[header.len()..].split_at(metadata);
            let fault = match (known, kind) {
                (None, _) => FrameFault::UnknownVersion { byte: version },
                (Some(got), _) if got != wire => FrameFault::OtherVersion {
                    got,
                    expected: wire,
                },
                (_, COMPLETE) => {
                    let seq = (wire == WireVersion::V3).then(|| number(6));
                    self.complete(seq, payload);
                    continue;
                }
                (_, FRAGMENT) => {
                    let metadata = &metadata[metadata.len() - 8..];
                    FrameFault::Fragment {
                        index: u16::from_be_bytes([metadata[0], metadata[1]]),
                        total: u16::from_be_bytes([metadata[2], metadata[3]]),
                        size: self::number(metadata, 4),
                    }
                }
                (_, byte) => FrameFault::UnknownType { byte },
            };
            if known == Some(wire) && wire == WireVersion::V3 {
                self.skipped(number(6));
            }
            return Some(Item::Skipped(fault));
        }
    }

    fn complete(&mut self, seq: Option<u32>, payload: &'a [u8]) {
        let Some(seq) = seq else {
            return self.pending.push(Item::Payload(payload));
        };
        let next = self.next.unwrap_or_default();
        let ahead = seq.wrapping_sub(next);
        if self.peer_counts && ahead == u32::MAX && self.previous == Some(payload) {
            self.duplicates += 1;
            if !self.repeated {
                self.pending.push(Item::Noticed(Notice::Repeated));
            }
            self.repeated = true;
            return;
        }
        let alike = |before: &[u8]| before.len() == payload.len() && payload.len() > WHOLE;
        if self.peer_counts && ahead == u32::MAX && self.previous.is_some_and(alike) {
            return self.pending.push(Item::Unsure);
        }
        self.pending.push(Item::Payload(payload));
        let is_gap = self.peer_counts && (1..1 << 31).contains(&ahead);
        if is_gap {
            self.missing += u64::from(ahead);
            self.pending
                .push(Item::Noticed(Notice::Gap { missing: ahead }));
        }
        self.peer_counts = is_gap || self.next == Some(seq);
        self.next = Some(seq.wrapping_add(1));
        self.previous = Some(payload);
        self.repeated = false;
    }

    /// A skipped frame uses its number, unless the number is in the past.
    fn skipped(&mut self, seq: u32) {
        let ahead = seq.wrapping_sub(self.next.unwrap_or_default());
        if !self.peer_counts || ahead >= 1 << 31 {
            return;
        }
        if ahead > 0 {
            self.missing += u64::from(ahead);
            self.pending
                .push(Item::Noticed(Notice::Gap { missing: ahead }));
        }
        self.next = Some(seq.wrapping_add(1));
        self.previous = None;
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
