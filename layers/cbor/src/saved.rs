//! The state of a channel as a value, and a channel from it: that of the codec.
//!
//! In: a channel, or a frame transport and the saved state. Out: the same, the other way round. Touches nothing.

use bytes::Bytes;
use kyneta_uds_core::{Resume, Save, Saved, SavedError};

use crate::{Cbor, CborChannel, Codec, SerdeCodec};

/// The name of this layer's part.
const PART: &str = "cbor";

/// A codec whose connections can be handed to another process ([`Save`]).
///
/// ```
/// use kyneta_uds_cbor::{ChannelCodec, SaveCodec};
///
/// let saved = ChannelCodec::new().save();
/// let codec = ChannelCodec::new().resume(&saved)?;
/// # let _ = codec;
/// # Ok::<(), kyneta_uds_core::SavedError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a connection with this codec cannot be handed over: `{Self}` does not give its state",
    label = "this codec does not implement `SaveCodec`",
    note = "implement `SaveCodec` for it; a codec without a state returns `Saved::new(1, 1)` and a clone"
)]
pub trait SaveCodec: Codec + Sized {
    /// What it knows of its connection.
    fn save(&self) -> Saved;

    /// With the settings of this codec, and what another one knew of its connection.
    ///
    /// # Errors
    /// [`SavedError`]: a field is missing, or the version is not one that it reads.
    fn resume(&self, saved: &Saved) -> Result<Self, SavedError>;
}

impl<T> SaveCodec for SerdeCodec<T>
where
    Self: Codec,
{
    fn save(&self) -> Saved {
        Saved::new(1, 1)
    }

    fn resume(&self, saved: &Saved) -> Result<Self, SavedError> {
        saved.check("the codec", 1..=1)?;
        Ok(Self::new())
    }
}

impl<F: Save, C: SaveCodec> Save for CborChannel<F, C> {
    type Io = F::Io;

    fn stream(&self) -> &F::Io {
        self.get_ref().stream()
    }

    fn save(&self, saved: Saved) -> Saved {
        self.get_ref().save(saved.with(PART, self.codec().save()))
    }

    fn save_ahead(&mut self) -> Vec<Bytes> {
        self.get_mut().save_ahead()
    }
}

impl<Io, S: Resume<Io>, C: SaveCodec> Resume<Io> for Cbor<S, C> {
    type Resumed = CborChannel<S::Resumed, C>;

    fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError> {
        let codec = self.codec().resume(saved.part(PART)?)?;
        Ok(CborChannel::new(self.get_ref().resume(io, saved)?, codec))
    }
}
