//! What a stream of bytes says, read in one go: the frame parser's oracle, written from wire section
//! 2 and 9 and not from the parser.

use kyneta_uds_core::{FrameFault, Notice, WireVersion};
use kyneta_uds_framing::WireMode;

const COMPLETE: u8 = 0;
const FRAGMENT: u8 = 1;

/// A payload up to this size is remembered by a hash of all of it, bytes.
const WHOLE: usize = 1 << 10;

pub(crate) struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
    /// An unknown version is the end, as on a live connection.
    strict: bool,
    settled: Option<WireVersion>,
    begin: WireVersion,
    /// The seq that the next frame bears if the peer counts.
    next: Option<u32>,
    /// The frame before bore a seq that shows that the peer counts.
    counts: bool,
    /// The payload of the frame before, when it was one that a copy can be of.
    before: Option<&'a [u8]>,
    repeated: bool,
    copies: u64,
    missing: u64,
    /// To be said before all else.
    due: Vec<Said<'a>>,
}

/// One thing that a stream says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Said<'a> {
    Payload(&'a [u8]),
    Skipped(FrameFault),
    Noticed(Notice),
    TooLarge(usize),
    UnknownVersion(u8),
    /// A large frame of a counting peer that bears the seq and the length of the one before, and is
    /// another: whether it counts as a copy hangs on how the bytes were cut, and is said so in the parser.
    Unsure,
}

impl<'a> Reading<'a> {
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
            counts: false,
            before: None,
            repeated: false,
            copies: 0,
            missing: 0,
            due: Vec::new(),
        }
    }

    pub(crate) fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    pub(crate) fn settled(&self) -> Option<WireVersion> {
        self.settled
    }

    pub(crate) fn copies(&self) -> u64 {
        self.copies
    }

    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// Bytes of a frame that is not complete.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next thing; `None` when the bytes say no more.
    pub(crate) fn say(&mut self) -> Option<Said<'a>> {
        loop {
            if let Some(said) = self.due.pop() {
                return Some(said);
            }
            let rest = &self.bytes[self.at..];
            let &version = rest.first()?;
            let known = WireVersion::from_byte(version);
            if self.settled.is_none() {
                self.settled = known;
            }
            let wire = self.settled.unwrap_or(self.begin);
            if known.is_none() && self.strict {
                return Some(Said::UnknownVersion(version));
            }
            let own = known.unwrap_or(wire);
            let header = rest.get(..own.header_len())?;
            let (kind, number) = (header[1], |at| number(header, at));
            let size = number(2) as usize;
            if size > self.limit {
                return Some(Said::TooLarge(size));
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
            return Some(Said::Skipped(fault));
        }
    }

    fn complete(&mut self, seq: Option<u32>, payload: &'a [u8]) {
        let Some(seq) = seq else {
            return self.due.push(Said::Payload(payload));
        };
        let next = self.next.unwrap_or_default();
        let ahead = seq.wrapping_sub(next);
        if self.counts && ahead == u32::MAX && self.before == Some(payload) {
            self.copies += 1;
            if !self.repeated {
                self.due.push(Said::Noticed(Notice::Repeated));
            }
            self.repeated = true;
            return;
        }
        let alike = |before: &[u8]| before.len() == payload.len() && payload.len() > WHOLE;
        if self.counts && ahead == u32::MAX && self.before.is_some_and(alike) {
            return self.due.push(Said::Unsure);
        }
        self.due.push(Said::Payload(payload));
        let is_gap = self.counts && (1..1 << 31).contains(&ahead);
        if is_gap {
            self.missing += u64::from(ahead);
            self.due.push(Said::Noticed(Notice::Gap { missing: ahead }));
        }
        self.counts = is_gap || self.next == Some(seq);
        self.next = Some(seq.wrapping_add(1));
        self.before = Some(payload);
        self.repeated = false;
    }

    /// A frame that is skipped uses its seq up, if it is not behind.
    fn skipped(&mut self, seq: u32) {
        let ahead = seq.wrapping_sub(self.next.unwrap_or_default());
        if !self.counts || ahead >= 1 << 31 {
            return;
        }
        if ahead > 0 {
            self.missing += u64::from(ahead);
            self.due.push(Said::Noticed(Notice::Gap { missing: ahead }));
        }
        self.next = Some(seq.wrapping_add(1));
        self.before = None;
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
