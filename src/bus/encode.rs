//! A user's message as bytes. Encoded once, by its sender.

use bytes::Bytes;
use kyneta_uds_cbor::EncodeError;
use serde::Serialize;

/// The message as CBOR.
pub(crate) fn encode<M: Serialize>(message: &M, limit: usize) -> Result<Bytes, EncodeError> {
    let mut data = Vec::new();
    ciborium::into_writer(message, &mut data)
        .map_err(|error| EncodeError::Serialize(error.to_string().into()))?;
    let size = data.len();
    match size > limit {
        true => Err(EncodeError::TooLarge { size, limit }),
        false => Ok(data.into()),
    }
}
