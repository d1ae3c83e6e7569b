//! The state of a frame transport as a value, and a transport from it.
//!
//! In: a transport, or a stream and its saved state. Out: the same, the other way round. Touches nothing: no byte is
//! read or written.
//!
//! Whole frames that were read and not yielded are saved as bytes, with the frame that is arriving.

use bytes::Bytes;
use kyneta_uds_core::{AHEAD, Resume, Save, Saved, SavedError, WireVersion};

use crate::{
    config::FramingConfig, parser::FrameParser, service::Framing, stream::ByteStream,
    transport::FrameTransport, writer::FrameWriter,
};

/// The name of this layer's part.
const PART: &str = "framing";
const VERSION: u32 = 2;
/// Of a transport whose bytes have not gone ahead.
const WHOLE: u32 = 1;
/// How many of the bytes that went ahead are to be written.
const AHEAD_LEFT: &str = "ahead-left";

impl<Io: ByteStream> Save for FrameTransport<Io> {
    type Io = Io;

    fn stream(&self) -> &Io {
        self.io()
    }

    fn save(&self, saved: Saved) -> Saved {
        let (parser, writer, out) = self.parts();
        let (part, unsent) = match saved.get(AHEAD) {
            None => (Saved::new(WHOLE, WHOLE), out.to_vec()),
            Some(_) => {
                let part = Saved::new(VERSION, VERSION);
                let left = out.shared() as u64;
                (part.with(AHEAD_LEFT, left), out.unshared())
            }
        };
        let part = writer.save(parser.save(part));
        saved.with(PART, part.with("unsent", unsent))
    }

    fn save_ahead(&mut self) -> Vec<Bytes> {
        self.share()
    }
}

impl<Io: ByteStream> FrameTransport<Io> {
    /// A transport that goes on with a connection, after [`Save::save`] of another one.
    ///
    /// # Errors
    /// [`SavedError`]: the part of this layer is missing, or of a version that it does not read.
    ///
    /// ```
    /// use kyneta_uds_core::{Save, Saved};
    /// use kyneta_uds_framing::{FrameTransport, FramingConfig};
    ///
    /// let (ours, _theirs) = tokio::io::duplex(1024);
    /// let transport = FrameTransport::new(ours, FramingConfig::new());
    /// let saved = transport.save(Saved::new(1, 1));
    /// let io = transport.into_inner();
    /// let transport = FrameTransport::resume(io, FramingConfig::new(), &saved)?;
    /// # Ok::<(), kyneta_uds_core::SavedError>(())
    /// ```
    pub fn resume(io: Io, config: FramingConfig, saved: &Saved) -> Result<Self, SavedError> {
        let part = saved.part(PART)?;
        part.check(PART, 1..=VERSION)?;
        let mut transport = Self::new(io, config);
        transport.restore(part, ahead(part, saved)?)?;
        Ok(transport)
    }
}

impl<Io: ByteStream, S: Resume<Io>> Resume<Io> for Framing<S>
where
    S::Resumed: ByteStream,
{
    type Resumed = FrameTransport<S::Resumed>;

    fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError> {
        let io = self.get_ref().resume(io, saved)?;
        FrameTransport::resume(io, self.config().clone(), saved)
    }
}

/// What is to be written of the bytes that went ahead.
fn ahead(part: &Saved, saved: &Saved) -> Result<Bytes, SavedError> {
    let left = part.number_or_zero(AHEAD_LEFT)?;
    if left == 0 {
        return Ok(Bytes::new());
    }
    let bytes = saved.bytes(AHEAD)?;
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let why = "they are more than went ahead";
    let written = bytes.len().checked_sub(left);
    let written = written.ok_or(SavedError::invalid(AHEAD_LEFT, why))?;
    Ok(bytes.slice(written..))
}

impl FrameWriter {
    fn save(&self, part: Saved) -> Saved {
        part.with("next-seq-out", self.next_seq())
    }
}

/// A wire version, if there is a field of this name.
pub(crate) fn wire(part: &Saved, name: &'static str) -> Result<Option<WireVersion>, SavedError> {
    let Some(number) = part.number_if_any(name)? else {
        return Ok(None);
    };
    let why = "no wire version has this number";
    let wire = u8::try_from(number).ok().and_then(WireVersion::from_byte);
    wire.map(Some).ok_or(SavedError::Value { name, why })
}

impl FrameParser {
    fn save(&self, part: Saved) -> Saved {
        let mut part = part;
        if let Some(wire) = self.wire() {
            part = part.with("wire", wire.byte());
        }
        self.save_inbound(part)
    }
}

#[cfg(test)]
mod tests;
