//! A saved value that is passed on as bytes.
//!
//! In: a value, or its bytes. Out: its bytes, or the value. Touches nothing.

use bytes::Bytes;

use super::{Saved, SavedError};

/// More than most states take, in bytes: a vector that grows is copied at each step.
const USUAL: usize = 1 << 10;

/// A [`Saved`] value as bytes: what only passes it on need not read it.
///
/// ```
/// use kyneta_uds_core::{Saved, SavedBytes};
///
/// let saved = Saved::new(1, 1).with("seq", 7_u64);
/// let bytes = SavedBytes::from(&saved);
/// assert_eq!(bytes.as_ref(), saved.encode());
/// assert_eq!(bytes.decode()?, saved);
/// # Ok::<(), kyneta_uds_core::SavedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SavedBytes(Bytes);

impl SavedBytes {
    /// Reads the value. As [`Saved::decode`].
    ///
    /// # Errors
    /// [`SavedError::Unreadable`].
    pub fn decode(&self) -> Result<Saved, SavedError> {
        Saved::decode(&self.0)
    }
}

impl From<&Saved> for SavedBytes {
    fn from(saved: &Saved) -> Self {
        let mut bytes = Vec::with_capacity(USUAL);
        saved.encode_to(&mut bytes);
        Self(bytes.into())
    }
}

/// Not looked at: whether they are a value is seen when it is [read](SavedBytes::decode).
impl From<Bytes> for SavedBytes {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for SavedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
