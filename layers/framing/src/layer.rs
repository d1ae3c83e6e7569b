//! The layer: its settings, and what it wraps.

use tower_layer::Layer;

use crate::{
    config::{FramingConfig, WireMode},
    service::Framing,
};

/// Turns a maker of byte streams into a maker of [`FrameTransport`](crate::FrameTransport)s.
///
/// ```
/// use kyneta_uds_core::WireVersion;
/// use kyneta_uds_framing::{FramingLayer, WireMode};
///
/// let layer = FramingLayer::new().wire(WireMode::Fixed(WireVersion::V2)).max_frame(1 << 20);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct FramingLayer {
    config: FramingConfig,
}

impl FramingLayer {
    /// Automatic wire version, frames of up to 64 MiB.
    pub const fn new() -> Self {
        Self {
            config: FramingConfig::new(),
        }
    }

    /// Chooses how the wire version is found. Default: [`WireMode::Auto`].
    #[must_use]
    pub const fn wire(mut self, mode: WireMode) -> Self {
        self.config = self.config.wire(mode);
        self
    }

    /// Bounds a frame's payload, in bytes, in both directions. Default: 64 MiB.
    #[must_use]
    pub const fn max_frame(mut self, bytes: usize) -> Self {
        self.config = self.config.max_frame(bytes);
        self
    }
}

impl<S> Layer<S> for FramingLayer {
    type Service = Framing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Framing::new(inner, self.config)
    }
}
