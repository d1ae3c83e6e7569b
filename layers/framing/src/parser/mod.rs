//! The parser: bytes in, frames out. Pure: no I/O, no clock; resumable at every byte.
//!
//! Each header is read twice. First `scan` measures all complete frames at the front of the read buffer and
//! splits them off together, with one reference count. Then they are yielded one by one as ranges. Reading a
//! header again in the first-level cache is much cheaper than a reference count for each frame (7 ns).

mod dedup;
pub(crate) mod header;
#[cfg(feature = "tokio")]
mod saved;
mod scan;

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut, buf::Limit};
use kyneta_uds_core::{Frame, Notice, Payload, WireVersion};

pub(crate) use self::scan::Step;
use self::{
    dedup::{Sequence, Verdict},
    header::Header,
    scan::Skip,
};
use crate::{
    budget::Lease,
    config::WireMode,
    error::FramingError,
    read_buf::{BUSY_READ, ReadBuffer},
};

/// Parses the frames of one direction of a connection.
///
/// ```
/// use kyneta_uds_core::{Frame, WireVersion};
/// use kyneta_uds_framing::{FrameParser, WireMode};
///
/// let mut parser = FrameParser::new(WireMode::Auto, 1 << 20);
/// parser.feed(&[2, 0, 0, 0, 0, 2, b'h']);
/// assert!(parser.next_frame()?.is_none()); // the frame is not complete
///
/// parser.feed(b"i");
/// let Some(Frame::Payload(payload)) = parser.next_frame()? else { panic!() };
/// assert_eq!(payload.as_slice(), b"hi");
/// assert_eq!(parser.wire(), Some(WireVersion::V2));
/// assert!(parser.is_between_frames());
/// # Ok::<(), kyneta_uds_framing::FramingError>(())
/// ```
#[derive(Debug)]
pub struct FrameParser {
    max_frame: usize,
    /// An unknown version byte is an error, not a frame to be skipped.
    strict: bool,
    /// The version that is fixed, or that the first frame has determined.
    wire: Option<WireVersion>,
    /// The version to write with until then.
    initial_wire: WireVersion,

    buffer: ReadBuffer,
    /// The memory of a large frame is kept for the next one.
    keeps: bool,
    /// The part of the shared inbound budget that `buffer` uses.
    lease: Lease,
    /// Complete frames of version `wire`, split off together.
    frames: Bytes,
    /// Where in `frames` the next one begins.
    next_at: usize,
    /// Bytes processed before `frames`.
    worked: u64,
    skip: Option<Skip>,

    sequence: Sequence,
    /// What the sequence numbers have shown, to be reported before the next frame.
    notice: Option<Notice>,
    duplicates_dropped: u64,
    frames_missing: u64,
}

impl FrameParser {
    /// A parser for a new connection; `max_frame` limits a payload, in bytes.
    pub fn new(mode: WireMode, max_frame: usize) -> Self {
        let wire = match mode {
            WireMode::Auto => None,
            WireMode::Fixed(wire) => Some(wire),
        };
        Self {
            max_frame,
            strict: false,
            wire,
            initial_wire: WireVersion::V3,
            buffer: ReadBuffer::new(),
            keeps: false,
            lease: Lease::default(),
            frames: Bytes::new(),
            next_at: 0,
            worked: 0,
            skip: None,
            sequence: Sequence::new(),
            notice: None,
            duplicates_dropped: 0,
            frames_missing: 0,
        }
    }

    /// For a real connection: an unknown version byte is an error, [`FramingError::UnknownVersion`]. Otherwise its frame
    /// is skipped.
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// With a lease of a shared budget.
    pub(crate) fn with_lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// Appends a copy of `bytes`, for tools and tests; a transport reads into [`read_buf`](Self::read_buf).
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Some(skip) = &mut self.skip
            && self.buffer.as_slice().is_empty()
        {
            let (skipped, after) = rest.split_at(skip.remaining.min(rest.len()));
            skip.remaining -= skipped.len();
            self.worked += skipped.len() as u64;
            rest = after;
        }
        self.buffer.extend(rest);
    }

    /// The buffer to read into; it has spare capacity. Callers may only append to it.
    #[inline]
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.discard_consumed();
        self.reserve_for(self.front_sizes().map_or(0, |(_, frame)| frame))
    }

    /// [`read_buf`](Self::read_buf), and how much to read.
    #[inline]
    pub(crate) fn next_read(&mut self) -> Limit<&mut BytesMut> {
        self.discard_consumed();
        let frame = self.front_sizes().map_or(0, |(_, frame)| frame);
        if frame > 0 {
            self.buffer.begins(frame);
        }
        self.reserve_for(frame);
        let most = self.buffer.most_to_read(frame);
        self.buffer.buf().limit(most)
    }

    /// For the rest of a frame of so many bytes; 0 if that is not known.
    #[inline]
    fn reserve_for(&mut self, frame: usize) -> &mut BytesMut {
        let missing = frame.saturating_sub(self.buffer.as_slice().len());
        let keep = self.may_keep();
        self.buffer.reserve_for_read(missing, keep);
        self.lease.shrink_to(self.buffer.allocation());
        self.buffer.buf()
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FramingError::TooLarge`], as soon as a header announces a payload over the limit. The error is final.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        if let Some(range) = self.next_complete() {
            return Ok(Some(Frame::Payload(self.payload(range))));
        }
        loop {
            match self.step()? {
                Step::Dropped => {}
                step => return Ok(self.frame(step)),
            }
        }
    }

    /// The version that is fixed, or that the first frame has determined.
    #[inline]
    pub const fn wire(&self) -> Option<WireVersion> {
        self.wire
    }

    /// Chooses the version to use if this side writes first. False, and without effect, if the version is
    /// already known.
    pub fn begin_with(&mut self, wire: WireVersion) -> bool {
        let is_open = self.wire.is_none();
        if is_open {
            self.initial_wire = wire;
        }
        is_open
    }

    /// Frames dropped because they repeated the frame before them (wire section 9). Always 0 on wire version
    /// 2, and for a peer that does not number its frames.
    pub const fn duplicates_dropped(&self) -> u64 {
        self.duplicates_dropped
    }

    /// Frames that are missing, by the peer's sequence numbers. Always 0 on wire version 2, and for a peer
    /// that does not number its frames.
    pub const fn frames_missing(&self) -> u64 {
        self.frames_missing
    }

    /// Bytes processed so far: frames that were yielded, skipped or dropped.
    #[inline]
    pub const fn worked(&self) -> u64 {
        self.worked + self.next_at as u64
    }

    /// True when no partial frame is buffered: the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.partial_frame().is_none()
    }

    /// The version of the next frame to write.
    #[inline]
    pub fn outbound_wire(&self) -> WireVersion {
        self.wire.unwrap_or(self.initial_wire)
    }

    /// A frame of this version was written, which determines an unknown version.
    #[inline]
    pub fn frame_written(&mut self, wire: WireVersion) {
        if self.wire.is_none() {
            self.wire = Some(wire);
        }
    }

    /// Leases what the next read may need. Call it before [`read_buf`](Self::read_buf), which allocates.
    #[inline]
    pub(crate) fn lease_room(&mut self) -> Result<(), FramingError> {
        self.discard_consumed();
        if self.buffer.as_slice().len() < BUSY_READ / 2 {
            return Ok(());
        }
        self.lease_for_large()
    }

    #[cold]
    fn lease_for_large(&mut self) -> Result<(), FramingError> {
        let Some((size, frame)) = self.front_sizes() else {
            return Ok(());
        };
        let missing = frame.saturating_sub(self.buffer.as_slice().len());
        self.lease
            .grow_to(self.buffer.used_after_reserve(missing), size)
    }

    /// Bytes of the first frame's payload and of the whole frame, once its header has arrived.
    #[inline]
    fn front_sizes(&self) -> Option<(usize, usize)> {
        match self.buffer.as_slice() {
            [] => None,
            bytes => match header::read(bytes, self.outbound_wire()) {
                Header::Partial { .. } => None,
                Header::Known { payload, frame, .. } => Some((payload, frame)),
            },
        }
    }

    /// For a partial frame: the bytes that have arrived, and the bytes that it needs as far as is known.
    pub fn partial_frame(&self) -> Option<(usize, usize)> {
        if let Some(skip) = self.skip {
            return Some((skip.frame_len - skip.remaining, skip.frame_len));
        }
        let bytes = self.buffer.as_slice();
        let want = match header::read(bytes, self.outbound_wire()) {
            _ if bytes.is_empty() => return None,
            Header::Partial { want } => want,
            Header::Known { frame, .. } => frame,
        };
        Some((bytes.len(), want))
    }

    /// Frees memory; called when there is nothing to read for now.
    pub fn release(&mut self) {
        self.discard_consumed();
        let keep = self.may_keep();
        self.buffer.release(keep);
        self.lease.shrink_to(self.buffer.allocation());
    }

    /// See [`Frames::keep`](kyneta_uds_core::Frames::keep).
    pub fn keep(&mut self) -> bool {
        self.keeps = true;
        self.buffer.is_large()
    }

    /// See [`Frames::free_kept`](kyneta_uds_core::Frames::free_kept).
    pub fn free_kept(&mut self) {
        self.discard_consumed();
        self.buffer.free_unneeded();
        self.lease.shrink_to(self.buffer.allocation());
    }

    /// Not where memory is scarce: it would be missing for frames of other connections.
    #[inline]
    fn may_keep(&self) -> bool {
        self.keeps && (!self.buffer.is_large() || self.lease.leaves_most())
    }

    /// The payload at a range that [`next_complete`](Self::next_complete) or [`step`](Self::step) has returned.
    #[inline]
    pub(crate) fn payload(&self, range: Range<usize>) -> Payload<'_> {
        Payload::new(&self.frames, range).on(self.outbound_wire())
    }

    /// The frame of a step, if it has one.
    #[inline]
    pub(crate) fn frame(&self, step: Step) -> Option<Frame<'_>> {
        match step {
            Step::Payload(range) => Some(Frame::Payload(self.payload(range))),
            Step::Skipped(fault) => Some(Frame::Skipped(fault)),
            Step::Noticed(notice) => Some(Frame::Noticed(notice)),
            Step::Dropped | Step::NeedMore => None,
        }
    }

    /// The next step, by whichever path.
    pub(crate) fn step(&mut self) -> Result<Step, FramingError> {
        loop {
            if let Some(notice) = self.take_notice() {
                return Ok(Step::Noticed(notice));
            }
            if let Some(range) = self.next_complete() {
                return Ok(Step::Payload(range));
            }
            if self.notice.is_some() {
                continue;
            }
            if self.next_at < self.frames.len() {
                return Ok(Step::Dropped);
            }
            if let Some(step) = self.scan()? {
                return Ok(step);
            }
        }
    }

    /// The next of the complete frames in `frames`. `None` if there is none, if it was dropped, or if a notice
    /// comes before it.
    #[inline]
    pub(crate) fn next_complete(&mut self) -> Option<Range<usize>> {
        let wire = self.outbound_wire();
        let frame = self.frames.get(self.next_at..)?;
        let &[_, _, l0, l1, l2, l3] = frame.first_chunk()?;
        let from = self.next_at + wire.header_len();
        let payload = from..from + u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if wire == WireVersion::V3 {
            let &[_, _, _, _, _, _, s0, s1, s2, s3] = frame.first_chunk()?;
            let seq = u32::from_be_bytes([s0, s1, s2, s3]);
            if !self.sequence.accept_next(seq, &payload) && !self.accept_unexpected(seq, &payload) {
                return None;
            }
        }
        self.next_at = payload.end;
        Some(payload)
    }

    /// A frame that does not have the next sequence number. False: it is not yielded, or not yet.
    #[cold]
    fn accept_unexpected(&mut self, seq: u32, payload: &Range<usize>) -> bool {
        if self.notice.is_some() {
            return false;
        }
        match self.sequence.classify(seq, payload, &self.frames) {
            Verdict::Unknown => {
                self.sequence.restart(seq, payload);
                return true;
            }
            Verdict::Duplicate { first } => {
                self.sequence.drop_duplicate();
                self.duplicates_dropped += 1;
                self.next_at = payload.end;
                self.notice = first.then_some(Notice::Repeated);
            }
            Verdict::Gap { missing } => self.notice = Some(Notice::Gap { missing }),
        }
        false
    }

    /// What to report before the next frame.
    fn take_notice(&mut self) -> Option<Notice> {
        let notice = self.notice.take()?;
        if let Notice::Gap { missing } = notice {
            self.frames_missing += u64::from(missing);
            self.sequence.skip_missing(missing);
        }
        Some(notice)
    }

    /// Drops `frames` once all are consumed, so that their memory can be read into again.
    #[inline]
    fn discard_consumed(&mut self) {
        if self.next_at > 0 && self.next_at >= self.frames.len() {
            self.sequence.keep_fingerprint(&self.frames);
            self.worked += self.frames.len() as u64;
            self.frames = Bytes::new();
            self.next_at = 0;
        }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.buffer.held() + self.frames.len()
    }
}

#[cfg(test)]
mod tests;
