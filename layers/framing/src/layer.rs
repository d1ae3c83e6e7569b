//! The layer: settings in, a [`Framing`] service out.

use tower_layer::Layer;

use crate::{
    budget::InboundBudget,
    config::{FramingConfig, WireMode},
    service::Framing,
};

/// Turns a make service of byte streams into one of [`FrameTransport`](crate::FrameTransport)s.
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

    /// Sets how the wire version is determined. Default: [`WireMode::Auto`].
    #[must_use]
    pub fn wire(self, mode: WireMode) -> Self {
        Self {
            config: self.config.wire(mode),
        }
    }

    /// Limits a frame's payload, in bytes, in both directions. Default: 64 MiB.
    #[must_use]
    pub fn max_frame(self, bytes: usize) -> Self {
        Self {
            config: self.config.max_frame(bytes),
        }
    }

    /// Limits the memory for inbound frames of all connections that share `budget`. Default: a budget of
    /// 256 MiB for each [`Framing`] service that this layer makes. The service's clones share it, and so do all
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
