//! The parser's state as fields, and from them.
//!
//! In: a parser, or its saved state. Out: the same, the other way round. Pure.

use bytes::Bytes;
use kyneta_uds_core::{FrameFault, Notice, Saved, SavedError};

use super::{FrameParser, scan::Skip};
use crate::saved::wire;

impl FrameParser {
    /// Everything about the inbound direction, and the wire version to begin with.
    pub(crate) fn save_inbound(&self, part: Saved) -> Saved {
        let read = self.frames.get(self.next_at..).unwrap_or_default();
        let arriving = [read, self.buffer.as_slice()].concat();
        let mut part = part
            .with("begins-with", self.initial_wire.byte())
            .with("arriving", arriving)
            .with("duplicates-dropped", self.duplicates_dropped)
            .with("frames-missing", self.frames_missing);
        match self.notice {
            Some(Notice::Gap { missing }) => part = part.with("gap", missing),
            Some(_) => part = part.with("repeated", true),
            None => {}
        }
        if let Some(skip) = self.skip {
            part = part.with("skip", save_skip(&skip));
        }
        self.sequence.save(&self.frames, part)
    }

    pub(crate) fn restore(&mut self, part: &Saved) -> Result<(), SavedError> {
        // A version that is known holds, whatever is configured now.
        self.wire = wire(part, "wire")?.or(self.wire);
        self.initial_wire = wire(part, "begins-with")?.unwrap_or(self.initial_wire);
        self.duplicates_dropped = part.number("duplicates-dropped")?;
        self.frames_missing = part.number("frames-missing")?;
        self.notice = match part.get("gap") {
            Some(_) => Some(Notice::Gap {
                missing: part.number32("gap")?,
            }),
            None => part.get("repeated").map(|_| Notice::Repeated),
        };
        if part.get("skip").is_some() {
            self.skip = Some(restore_skip(part.part("skip")?)?);
        }
        self.sequence.restore(part)?;
        let arriving: &Bytes = part.bytes("arriving")?;
        if !arriving.is_empty() {
            self.buffer.extend(arriving);
        }
        Ok(())
    }
}

fn save_skip(skip: &Skip) -> Saved {
    let mut part = Saved::new(1, 1)
        .with("remaining", skip.remaining as u64)
        .with("frame", skip.frame_len as u64);
    if let Some(seq) = skip.seq {
        part = part.with("seq", seq);
    }
    match skip.fault {
        FrameFault::UnknownType { byte } => part.with("type", byte),
        FrameFault::UnknownVersion { byte } => part.with("version-byte", byte),
        FrameFault::OtherVersion { got, expected } => part
            .with("got", got.byte())
            .with("expected", expected.byte()),
        FrameFault::Fragment { index, total, size } => part
            .with("index", u32::from(index))
            .with("total", u32::from(total))
            .with("size", size),
        // A fault of a later version of the core, which this one does not know.
        _ => part.with("type", 0_u8),
    }
}

fn restore_skip(part: &Saved) -> Result<Skip, SavedError> {
    let small = |name| {
        let why = "it is over 65535";
        u16::try_from(part.number(name)?).map_err(|_| SavedError::Value { name, why })
    };
    let byte = |name| small(name).map(|number| number.to_be_bytes()[1]);
    let size = |name| {
        let why = "it is larger than a frame can be";
        usize::try_from(part.number(name)?).map_err(|_| SavedError::Value { name, why })
    };
    let fault = if part.get("type").is_some() {
        FrameFault::UnknownType {
            byte: byte("type")?,
        }
    } else if part.get("version-byte").is_some() {
        FrameFault::UnknownVersion {
            byte: byte("version-byte")?,
        }
    } else if let (Some(got), Some(expected)) = (wire(part, "got")?, wire(part, "expected")?) {
        FrameFault::OtherVersion { got, expected }
    } else {
        FrameFault::Fragment {
            index: small("index")?,
            total: small("total")?,
            size: part.number32("size")?,
        }
    };
    let frame_len = size("frame")?;
    Ok(Skip {
        fault,
        remaining: size("remaining")?.min(frame_len),
        frame_len,
        seq: part.get("seq").map(|_| part.number32("seq")).transpose()?,
    })
}
