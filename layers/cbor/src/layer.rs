//! The layer: holds a new codec, of which each connection gets a clone.

use tower_layer::Layer;

use crate::{ChannelCodec, SerdeCodec, service::Cbor};

/// Turns a make service of frame transports into one of channels.
///
/// ```
/// use kyneta_uds_cbor::{CborLayer, ChannelCodec, DecodeLimits};
///
/// let layer = CborLayer::new();
/// let bounded = DecodeLimits { max_aliases: 1_000, ..DecodeLimits::default() };
/// let layer = CborLayer::with_codec(ChannelCodec::new().limits(bounded));
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Default)]
pub struct CborLayer<C = ChannelCodec> {
    codec: C,
}

impl CborLayer {
    /// Channels of [`ChannelMsg`](kyneta_uds_core::ChannelMsg), with default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Channels of any message type that implements serde's traits.
    ///
    /// ```
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Tick(u64);
    ///
    /// let layer = kyneta_uds_cbor::CborLayer::typed::<Tick>();
    /// # let _ = layer;
    /// ```
    pub fn typed<T>() -> CborLayer<SerdeCodec<T>> {
        CborLayer::with_codec(SerdeCodec::new())
    }
}

impl<C> CborLayer<C> {
    /// Channels of a codec's messages. Each connection gets a clone of `codec`.
    pub const fn with_codec(codec: C) -> Self {
        Self { codec }
    }
}

impl<S, C: Clone> Layer<S> for CborLayer<C> {
    type Service = Cbor<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Cbor::new(inner, self.codec.clone())
    }
}
