//! The layer: its settings, and what it wraps.

use tower_layer::Layer;

use crate::{
    budget::InboundBudget,
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
#[derive(Debug, Clone, Default)]
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
    pub fn wire(self, mode: WireMode) -> Self {
        Self {
            config: self.config.wire(mode),
        }
    }

    /// Bounds a frame's payload, in bytes, in both directions. Default: 64 MiB.
    #[must_use]
    pub fn max_frame(self, bytes: usize) -> Self {
        Self {
            config: self.config.max_frame(bytes),
        }
    }

    /// Bounds what arrives on all connections that are given a clone of `budget`. Default: a budget of
    /// 256 MiB for each maker that this layer makes, shared by the maker's clones, and so by all
    /// connections of a server or peer.
    #[must_use]
    pub fn inbound_budget(self, budget: InboundBudget) -> Self {
        Self {
            config: self.config.inbound_budget(budget),
        }
    }
}

impl<S> Layer<S> for FramingLayer {
    type Service = Framing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let mut config = self.config.clone();
        if config.shared_inbound_budget().is_none() {
            config = config.inbound_budget(InboundBudget::default());
        }
        Framing::new(inner, config)
    }
}
