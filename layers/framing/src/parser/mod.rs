//! The parser: bytes in, frames out. Pure: no I/O, no clock; resumable at every byte.
//!
//! Frames are found twice on purpose. The complete frames at the front of the read buffer are
//! measured in one sweep, split off and frozen together: one reference count for all of them. Then
//! they are lent one by one as ranges. The second look at a header in the first-level cache is far
//! cheaper than a reference count for each frame (7 ns).

mod dedup;
pub(crate) mod header;

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use kyneta_uds_core::{Frame, FrameFault, Notice, Payload, WireVersion};

use self::{
    dedup::{Order, Sequence},
    header::{COMPLETE, Header},
};
use crate::{
    budget::{Exhausted, Lease},
    config::WireMode,
    error::FramingError,
    read_buf::{BUSY, LARGE, ReadBuffer},
};

/// Finds the frames in one direction of a connection.
///
/// ```
/// use kyneta_uds_core::{Frame, WireVersion};
/// use kyneta_uds_framing::{FrameParser, WireMode};
///
/// let mut parser = FrameParser::new(WireMode::Auto, 1 << 20);
/// parser.feed(&[2, 0, 0, 0, 0, 2, b'h']);
/// assert!(parser.next_frame()?.is_none()); // not all of it has arrived
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
    /// A version byte of no known version is the end, not a frame to be skipped.
    strict: bool,
    settled: Option<WireVersion>,
    /// What to write with when nothing has settled it.
    begin: WireVersion,

    arrived: ReadBuffer,
    /// What `arrived` has taken of the budget that connections share.
    lease: Lease,
    /// Complete frames of the settled version, frozen together.
    ready: Bytes,
    /// Where in `ready` the next one begins.
    at: usize,
    /// Bytes worked on before `ready`.
    worked: u64,
    skip: Option<Skip>,

    sequence: Sequence,
    /// What the seqs have shown, to be told before the next frame.
    notice: Option<Notice>,
    copies_dropped: u64,
    frames_missing: u64,
}

/// A frame that is being skipped.
#[derive(Debug, Clone, Copy)]
struct Skip {
    fault: FrameFault,
    /// Bytes still to come.
    left: usize,
    /// Bytes of the whole frame.
    frame: usize,
    /// Its seq, when it is of wire version 3.
    seq: Option<u32>,
}

/// What the parser has come to; a payload as its place in the bytes that [`FrameParser::lend`]
/// lends from.
#[derive(Debug)]
pub(crate) enum Step {
    Payload(Range<usize>),
    Skipped(FrameFault),
    Noticed(Notice),
    /// Nothing to tell of: a further copy of a frame was dropped. There is more.
    Passed,
    NeedMore,
}

impl FrameParser {
    /// A parser at the beginning of a connection; `max_frame` bounds a payload, in bytes.
    pub fn new(mode: WireMode, max_frame: usize) -> Self {
        let settled = match mode {
            WireMode::Auto => None,
            WireMode::Fixed(wire) => Some(wire),
        };
        Self {
            max_frame,
            strict: false,
            settled,
            begin: WireVersion::V3,
            arrived: ReadBuffer::new(),
            lease: Lease::default(),
            ready: Bytes::new(),
            at: 0,
            worked: 0,
            skip: None,
            sequence: Sequence::new(),
            notice: None,
            copies_dropped: 0,
            frames_missing: 0,
        }
    }

    /// For a live connection: an unknown version byte ends it.
    pub(crate) const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// With a part in a budget.
    pub(crate) fn leasing(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// Copies bytes in, for tools and tests; a transport reads into [`read_buf`](Self::read_buf).
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Some(skip) = &mut self.skip
            && self.arrived.as_slice().is_empty()
        {
            let (skipped, after) = rest.split_at(skip.left.min(rest.len()));
            skip.left -= skipped.len();
            self.worked += skipped.len() as u64;
            rest = after;
        }
        self.arrived.extend(rest);
    }

    /// The buffer to append what arrives to; it has spare capacity. Nothing else may be done to it.
    #[inline]
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.forget_lent();
        let missing = match self.front() {
            Some((_, frame)) => frame.saturating_sub(self.arrived.as_slice().len()),
            None => 0,
        };
        self.arrived.room(missing);
        self.lease.keep(self.arrived.backing());
        self.arrived.buf()
    }

    /// The next frame, `None` when it takes more bytes to tell.
    ///
    /// # Errors
    /// [`FramingError::TooLarge`], as soon as a header announces a payload over the limit. Nothing
    /// can be read after it.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        if let Some(range) = self.next_ready() {
            return Ok(Some(Frame::Payload(self.lend(range))));
        }
        loop {
            return Ok(match self.step()? {
                Step::Payload(range) => Some(Frame::Payload(self.lend(range))),
                Step::Skipped(fault) => Some(Frame::Skipped(fault)),
                Step::Noticed(notice) => Some(Frame::Noticed(notice)),
                Step::Passed => continue,
                Step::NeedMore => None,
            });
        }
    }

    /// The version that is fixed, or that a frame has settled.
    #[inline]
    pub const fn wire(&self) -> Option<WireVersion> {
        self.settled
    }

    /// Chooses the version to begin with if this side writes first. False, and without effect, when
    /// the version is fixed or settled.
    pub fn begin_with(&mut self, wire: WireVersion) -> bool {
        let open = self.settled.is_none();
        if open {
            self.begin = wire;
        }
        open
    }

    /// Complete frames dropped because they were copies of the one before (wire section 9). Always 0
    /// for a peer that does not count its frames, and on wire version 2.
    pub const fn copies_dropped(&self) -> u64 {
        self.copies_dropped
    }

    /// Frames that the peer has counted and that have not arrived. Always 0 for a peer that does not
    /// count its frames, and on wire version 2.
    pub const fn frames_missing(&self) -> u64 {
        self.frames_missing
    }

    /// Bytes that were worked on so far: frames that were lent, skipped or dropped.
    #[inline]
    pub const fn worked(&self) -> u64 {
        self.worked + self.at as u64
    }

    /// True when no part of a frame is held: the end of the stream would be an orderly one.
    pub fn is_between_frames(&self) -> bool {
        self.unfinished().is_none()
    }

    /// The version that the next frame written is of.
    #[inline]
    pub(crate) fn outbound_wire(&self) -> WireVersion {
        self.settled.unwrap_or(self.begin)
    }

    /// A frame of this version was written.
    #[inline]
    pub(crate) fn written(&mut self, wire: WireVersion) {
        if self.settled.is_none() {
            self.settled = Some(wire);
        }
    }

    /// Takes what the next read may need of the budget. To be called before
    /// [`read_buf`](Self::read_buf), which makes the room.
    #[inline]
    pub(crate) fn lease_room(&mut self) -> Result<(), FramingError> {
        self.forget_lent();
        if self.arrived.as_slice().len() < BUSY / 2 {
            return Ok(());
        }
        self.lease_for_large()
    }

    #[cold]
    fn lease_for_large(&mut self) -> Result<(), FramingError> {
        let Some((size, frame)) = self.front() else {
            return Ok(());
        };
        let missing = frame.saturating_sub(self.arrived.as_slice().len());
        let covered = self.lease.cover(self.arrived.used_for(missing));
        covered.map_err(|Exhausted { used, limit, uid }| FramingError::OverBudget {
            size,
            used,
            limit,
            uid,
        })
    }

    /// Payload bytes of the frame at the front, and bytes of all of it, when its header has arrived.
    #[inline]
    fn front(&self) -> Option<(usize, usize)> {
        match self.arrived.as_slice() {
            [] => None,
            bytes => match header::read(bytes, self.outbound_wire()) {
                Header::Partial { .. } => None,
                Header::Known { payload, frame, .. } => Some((payload, frame)),
            },
        }
    }

    /// How much of a frame has arrived and how much it takes, when the stream stands inside one.
    pub(crate) fn unfinished(&self) -> Option<(usize, usize)> {
        if let Some(skip) = self.skip {
            return Some((skip.frame - skip.left, skip.frame));
        }
        let bytes = self.arrived.as_slice();
        let want = match header::read(bytes, self.outbound_wire()) {
            _ if bytes.is_empty() => return None,
            Header::Partial { want } => want,
            Header::Known { frame, .. } => frame,
        };
        Some((bytes.len(), want))
    }

    /// Gives memory back: called when nothing more is to be read for now.
    pub(crate) fn rest(&mut self) {
        self.forget_lent();
        self.arrived.rest();
        self.lease.keep(self.arrived.backing());
    }

    /// A payload at the place that [`next_ready`](Self::next_ready) or [`step`](Self::step) told.
    #[inline]
    pub(crate) fn lend(&self, range: Range<usize>) -> Payload<'_> {
        Payload::new(&self.ready, range).on(self.outbound_wire())
    }

    /// Goes on to the next frame, or to the next thing to tell of, whatever it takes.
    pub(crate) fn step(&mut self) -> Result<Step, FramingError> {
        loop {
            if let Some(notice) = self.take_notice() {
                return Ok(Step::Noticed(notice));
            }
            if let Some(range) = self.next_ready() {
                return Ok(Step::Payload(range));
            }
            if self.notice.is_some() {
                continue;
            }
            if self.at < self.ready.len() {
                return Ok(Step::Passed);
            }
            if let Some(step) = self.sweep()? {
                return Ok(step);
            }
        }
    }

    /// The next of the complete frames that were split off. `None` when there is none, and when the
    /// next one was dropped or is to be preceded by a notice.
    #[inline]
    pub(crate) fn next_ready(&mut self) -> Option<Range<usize>> {
        let wire = self.outbound_wire();
        let frame = self.ready.get(self.at..)?;
        let &[_, _, l0, l1, l2, l3] = frame.first_chunk()?;
        let from = self.at + wire.header_len();
        let payload = from..from + u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if wire == WireVersion::V3 {
            let &[_, _, _, _, _, _, s0, s1, s2, s3] = frame.first_chunk()?;
            let seq = u32::from_be_bytes([s0, s1, s2, s3]);
            if !self.sequence.takes(seq, &payload) && !self.takes_unexpected(seq, &payload) {
                return None;
            }
        }
        self.at = payload.end;
        Some(payload)
    }

    /// A frame that does not bear the next seq. False: it is not lent, or not yet.
    #[cold]
    fn takes_unexpected(&mut self, seq: u32, payload: &Range<usize>) -> bool {
        if self.notice.is_some() {
            return false;
        }
        match self.sequence.order(seq, payload, &self.ready) {
            Order::Unknown => {
                self.sequence.start_at(seq, payload);
                return true;
            }
            Order::Copy { first } => {
                self.sequence.repeated();
                self.copies_dropped += 1;
                self.at = payload.end;
                self.notice = first.then_some(Notice::Repeated);
            }
            Order::Gap { missing } => self.notice = Some(Notice::Gap { missing }),
        }
        false
    }

    /// What is to be told before the next frame.
    fn take_notice(&mut self) -> Option<Notice> {
        let notice = self.notice.take()?;
        if let Notice::Gap { missing } = notice {
            self.frames_missing += u64::from(missing);
            self.sequence.pass_over(missing);
        }
        Some(notice)
    }

    /// Looks at what has arrived. `None`: complete frames were split off.
    fn sweep(&mut self) -> Result<Option<Step>, FramingError> {
        self.forget_lent();
        if self.skip.is_some() {
            return Ok(Some(self.go_on_skipping()));
        }
        let bytes = self.arrived.as_slice();
        let Some(&version) = bytes.first() else {
            return Ok(Some(Step::NeedMore));
        };
        match WireVersion::from_byte(version) {
            Some(wire) if self.settled.is_none() => self.settled = Some(wire),
            None if self.strict => return Err(FramingError::UnknownVersion { byte: version }),
            _ => {}
        }
        let wire = self.outbound_wire();
        // A large frame is split off alone: what is kept of it keeps no others alive.
        let run = bytes.get(..LARGE).unwrap_or(bytes);
        let complete = match measure_complete(run, wire, self.max_frame) {
            0 if run.len() < bytes.len() => measure_first(bytes, wire, self.max_frame),
            complete => complete,
        };
        if complete > 0 {
            self.ready = self.arrived.take(complete);
            return Ok(None);
        }
        let Header::Known {
            payload,
            frame,
            fault,
        } = header::read(bytes, wire)
        else {
            return Ok(Some(Step::NeedMore));
        };
        if payload > self.max_frame {
            return Err(FramingError::TooLarge {
                size: payload,
                limit: self.max_frame,
            });
        }
        let Some(fault) = fault else {
            return Ok(Some(Step::NeedMore));
        };
        let is_own = matches!(
            fault,
            FrameFault::Fragment { .. } | FrameFault::UnknownType { .. }
        );
        let seq = match bytes.first_chunk() {
            Some(&[_, _, _, _, _, _, s0, s1, s2, s3]) if is_own && wire == WireVersion::V3 => {
                Some(u32::from_be_bytes([s0, s1, s2, s3]))
            }
            _ => None,
        };
        self.skip = Some(Skip {
            fault,
            left: frame,
            frame,
            seq,
        });
        Ok(Some(self.go_on_skipping()))
    }

    /// Drops what has arrived of a frame to be skipped; reports it when all of it has.
    fn go_on_skipping(&mut self) -> Step {
        match &mut self.skip {
            Some(skip) => {
                let skipped = self.arrived.skip(skip.left);
                skip.left -= skipped;
                self.worked += skipped as u64;
                if skip.left > 0 {
                    return Step::NeedMore;
                }
                let Skip { fault, seq, .. } = *skip;
                self.skip = None;
                self.notice = seq.and_then(|seq| self.sequence.skips(seq));
                Step::Skipped(fault)
            }
            None => Step::NeedMore,
        }
    }

    /// Lets go of frames that were all lent, so that their memory can be read into again.
    #[inline]
    fn forget_lent(&mut self) {
        if self.at > 0 && self.at >= self.ready.len() {
            self.sequence.forget(&self.ready);
            self.worked += self.ready.len() as u64;
            self.ready = Bytes::new();
            self.at = 0;
        }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.arrived.held() + self.ready.len()
    }
}

/// Bytes at the front that are nothing but complete, allowed frames of version `wire`.
fn measure_complete(bytes: &[u8], wire: WireVersion, max_frame: usize) -> usize {
    let (version, header_len) = (wire.byte(), wire.header_len());
    let mut rest = bytes;
    while let Some(&[byte, kind, l0, l1, l2, l3]) = rest.first_chunk() {
        let payload = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if byte != version || kind != COMPLETE || payload > max_frame {
            break;
        }
        match rest.get(payload.saturating_add(header_len)..) {
            Some(after) => rest = after,
            None => break,
        }
    }
    bytes.len() - rest.len()
}

/// Bytes of the frame at the front, when it is a complete, allowed one of version `wire`.
fn measure_first(bytes: &[u8], wire: WireVersion, max_frame: usize) -> usize {
    match header::read(bytes, wire) {
        Header::Known {
            payload,
            frame,
            fault: None,
        } if payload <= max_frame && frame <= bytes.len() => {
            measure_complete(bytes.get(..frame).unwrap_or_default(), wire, max_frame)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
