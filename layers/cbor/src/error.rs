//! What can go wrong above the frames: a message that cannot be written, a connection that ended.

use kyneta_uds_core::BoxError;

/// A message was not written. It concerns that message alone; the connection goes on.
///
/// ```
/// let error = kyneta_uds_cbor::EncodeError::TooLarge { size: 9, limit: 8 };
/// assert_eq!(error.to_string(), "message of 9 bytes exceeds the limit of 8");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame transport takes no payload of this size.
    #[error("message of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of payload.
        size: usize,
        /// The most that the frame transport takes, bytes.
        limit: usize,
    },
    /// The message's `Serialize` failed.
    #[error("message cannot be serialized")]
    Serialize(#[source] BoxError),
}

/// Why a channel failed: one message (`Encode`) or the connection (`Transport`).
///
/// ```
/// use kyneta_uds_cbor::{CborError, EncodeError};
/// let error = CborError::from(EncodeError::TooLarge { size: 9, limit: 8 });
/// assert!(matches!(error, CborError::Encode(_)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The frame transport failed: the connection is over. The source says why.
    #[error("the connection failed")]
    Transport(#[source] BoxError),
    /// A message was not written; the connection goes on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
