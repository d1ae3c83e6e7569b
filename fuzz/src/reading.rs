//! What a stream of bytes says, read in one go: the frame parser's oracle, written from wire section
//! 2 and 9 and not from the parser.

use kyneta_uds_core::{FrameFault, WireVersion};
use kyneta_uds_framing::WireMode;

const COMPLETE: u8 = 0;
const FRAGMENT: u8 = 1;

/// Bytes of either end that the parser remembers of a frame whose read is gone.
const END: usize = 32;

pub(crate) struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
    /// An unknown version is the end, as on a live connection.
    strict: bool,
    settled: Option<WireVersion>,
    begin: WireVersion,
    before: Option<(u32, &'a [u8])>,
    copies: u64,
}

/// One thing that a stream says.
#[derive(Debug, PartialEq)]
pub(crate) enum Said<'a> {
    Payload(&'a [u8]),
    Skipped(FrameFault),
    TooLarge(usize),
    UnknownVersion(u8),
    /// A frame that bears the seq, the length and both ends of the one before, and is another: whether
    /// it counts as a copy hangs on how the bytes were cut, and is said so in the parser.
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
                WireMode::Auto => None,
                WireMode::Fixed(wire) => Some(wire),
            },
            begin,
            before: None,
            copies: 0,
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

    /// Bytes of a frame that is not complete.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next thing; `None` when the bytes say no more.
    pub(crate) fn say(&mut self) -> Option<Said<'a>> {
        loop {
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
                    match self.complete(seq, payload) {
                        Some(said) => return Some(said),
                        None => continue,
                    }
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
            return Some(Said::Skipped(fault));
        }
    }

    /// `None`: a copy.
    fn complete(&mut self, seq: Option<u32>, payload: &'a [u8]) -> Option<Said<'a>> {
        if let Some(seq) = seq {
            match self.before {
                Some((before, same)) if before == seq && same == payload => {
                    self.copies += 1;
                    return None;
                }
                Some((before, other)) if before == seq && alike(other, payload) => {
                    return Some(Said::Unsure);
                }
                _ => self.before = Some((seq, payload)),
            }
        }
        Some(Said::Payload(payload))
    }
}

fn alike(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.len() > 2 * END
        && a[..END] == b[..END]
        && a[a.len() - END..] == b[b.len() - END..]
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
