//! The state of a frame transport as a value, and a transport from it.
//!
//! In: a transport, or a stream and its saved state. Out: the same, the other way round. Touches nothing: no byte is
//! read or written.
//!
//! Whole frames that were read and not yielded are saved as bytes, with the frame that is arriving.

use kyneta_uds_core::{Resume, Save, Saved, SavedError, WireVersion};

use crate::{
    config::FramingConfig, parser::FrameParser, service::Framing, stream::ByteStream,
    transport::FrameTransport, writer::FrameWriter,
};

/// The name of this layer's part.
const PART: &str = "framing";
const VERSION: u32 = 1;

impl<Io: ByteStream> Save for FrameTransport<Io> {
    type Io = Io;

    fn stream(&self) -> &Io {
        self.io()
    }

    fn save(&self, saved: Saved) -> Saved {
        let (parser, writer, unsent) = self.parts();
        let part = parser.save(Saved::new(VERSION, 1));
        let part = writer.save(part).with("unsent", unsent);
        saved.with(PART, part)
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
        transport.restore(part)?;
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
