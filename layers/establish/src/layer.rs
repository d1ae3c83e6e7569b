//! The layer and its settings.

use std::time::Duration;

use kyneta_uds_core::{Establish, Features, Identity};
use tower_layer::Layer;

use crate::service::EstablishService;

/// How a side introduces itself and how long it waits.
#[derive(Debug, Clone)]
pub(crate) struct EstablishConfig {
    pub(crate) introduction: Establish,
    pub(crate) timeout: Duration,
    pub(crate) fallback: Duration,
}

/// Makes channels whose peer is known out of channels.
///
/// See the [crate](crate) for an example.
#[derive(Debug, Clone)]
pub struct EstablishLayer {
    config: EstablishConfig,
}

impl EstablishLayer {
    /// Introduces itself as `identity`, with aliasing on.
    pub fn new(identity: Identity) -> Self {
        Self {
            config: EstablishConfig {
                introduction: Establish::new(identity).features(Features::aliasing()),
                timeout: Duration::from_secs(5),
                fallback: Duration::from_millis(500),
            },
        }
    }

    /// How this side introduces itself.
    pub fn introduction(&self) -> &Establish {
        &self.config.introduction
    }

    /// Which features to announce. Aliasing by default.
    pub fn features(mut self, features: Features) -> Self {
        self.config.introduction.features = Some(features);
        self
    }

    /// How long a peer may take to introduce itself, from the connection on. 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// How long the connecting side waits for an answer on one wire version before it comes again
    /// with the other, when the wire is `auto` (wire section 2: a listener of the other version
    /// says nothing). After both it tries them again with twice the patience, and so on until the
    /// [`timeout`](Self::timeout). 500 ms by default.
    pub fn wire_fallback(mut self, fallback: Duration) -> Self {
        self.config.fallback = fallback;
        self
    }
}

impl<S> Layer<S> for EstablishLayer {
    type Service = EstablishService<S>;

    fn layer(&self, inner: S) -> EstablishService<S> {
        EstablishService::new(inner, self.config.clone())
    }
}
