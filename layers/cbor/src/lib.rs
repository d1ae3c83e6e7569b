#![doc = "x"]
mod channel;
mod codec;
mod error;
mod future;
mod layer;
mod service;

pub use channel::CborChannel;
pub use codec::{ChannelCodec, Codec, DecodeLimits, SerdeCodec};
pub use error::{CborError, EncodeError};
pub use future::ResponseFuture;
pub use layer::CborLayer;
pub use service::Cbor;
