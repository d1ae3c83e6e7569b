//! The errors of a channel: a message that cannot be written, a connection that failed.
//!
//! In: errors of the codec and of the frames below. Out: whether the message alone has failed, or the connection.
//! Pure.

use kyneta_uds_core::BoxError;

/// A message was not written. The connection stays open.
///
/// ```
/// let error = kyneta_uds_cbor::EncodeError::TooLarge { size: 9, limit: 8 };
/// assert_eq!(error.to_string(), "message of 9 bytes exceeds the limit of 8");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame transport does not accept a payload of this size.
    #[error("message of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of payload.
        size: usize,
        /// The limit of the frame transport, bytes.
        limit: usize,
    },
    /// The message's `Serialize` failed.
    #[error("message cannot be serialized")]
    Serialize(#[source] BoxError),
}

/// A channel's error: of one message (`Encode`) or of the connection (`Transport`).
///
/// ```
/// use kyneta_uds_cbor::{CborError, EncodeError};
/// let error = CborError::from(EncodeError::TooLarge { size: 9, limit: 8 });
/// assert!(matches!(error, CborError::Encode(_)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The frame transport failed: the connection has ended. The source has the details.
    #[error("the connection failed")]
    Transport(#[source] BoxError),
    /// A message was not written; the connection stays open.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
