//! What to do with the bytes that have arrived: split complete frames off, skip a frame, or wait for more.
//!
//! In: the read buffer. Out: frames, or a step of the parser. Pure.

use std::ops::Range;

use kyneta_uds_core::{FrameFault, Notice, WireVersion};

use super::{
    FrameParser,
    header::{self, COMPLETE, Header},
};
use crate::{error::FramingError, read_buf::LARGE_ALLOCATION};

/// A step of the parser. A payload is the range for [`FrameParser::payload`].
#[derive(Debug)]
pub(crate) enum Step {
    Payload(Range<usize>),
    Skipped(FrameFault),
    Noticed(Notice),
    /// A repeated frame was dropped; there are more frames.
    Dropped,
    NeedMore,
}

/// The frame that is being skipped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skip {
    pub(super) fault: FrameFault,
    /// Bytes that have not been skipped yet.
    pub(super) remaining: usize,
    /// Bytes of the whole frame.
    pub(super) frame_len: usize,
    /// Its sequence number, on wire version 3.
    pub(super) seq: Option<u32>,
}

impl FrameParser {
    /// Handles the bytes that have arrived. `None`: complete frames were split off.
    pub(super) fn scan(&mut self) -> Result<Option<Step>, FramingError> {
        self.discard_consumed();
        if self.skip.is_some() {
            return Ok(Some(self.continue_skip()));
        }
        let bytes = self.buffer.as_slice();
        let Some(&version) = bytes.first() else {
            return Ok(Some(Step::NeedMore));
        };
        match WireVersion::from_byte(version) {
            Some(wire) if self.wire.is_none() => self.wire = Some(wire),
            None if self.strict => return Err(FramingError::UnknownVersion { byte: version }),
            _ => {}
        }
        let wire = self.outbound_wire();
        // A large frame is split off alone, so that its payload does not keep other frames alive.
        let run = bytes.get(..LARGE_ALLOCATION).unwrap_or(bytes);
        let complete = match measure_complete(run, wire, self.max_frame) {
            0 if run.len() < bytes.len() => measure_first(bytes, wire, self.max_frame),
            complete => complete,
        };
        if complete > 0 {
            self.frames = self.buffer.take(complete);
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
            remaining: frame,
            frame_len: frame,
            seq,
        });
        Ok(Some(self.continue_skip()))
    }

    /// Drops what has arrived of the frame that is being skipped; reports the frame at its end.
    fn continue_skip(&mut self) -> Step {
        match &mut self.skip {
            Some(skip) => {
                let skipped = self.buffer.skip(skip.remaining);
                skip.remaining -= skipped;
                self.worked += skipped as u64;
                if skip.remaining > 0 {
                    return Step::NeedMore;
                }
                let Skip { fault, seq, .. } = *skip;
                self.skip = None;
                self.notice = seq.and_then(|seq| self.sequence.skip_frame(seq));
                Step::Skipped(fault)
            }
            None => Step::NeedMore,
        }
    }
}

/// The length of all complete, allowed frames of version `wire` at the front, bytes.
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

/// The length of the first frame if it is a complete, allowed one of version `wire`, else 0, bytes.
fn measure_first(bytes: &[u8], wire: WireVersion, max_frame: usize) -> usize {
    let Header::Known { frame, .. } = header::read(bytes, wire) else {
        return 0;
    };
    measure_complete(bytes.get(..frame).unwrap_or_default(), wire, max_frame)
}
