//! The layer: its handler and bounds, and what it wraps.

use std::{fmt, marker::PhantomData};

use tower_layer::Layer;
use tower_service::Service;

use crate::{config::QueueConfig, service::Queue};

/// Makes handles out of channels; what comes in goes to `handler`, of which each connection gets a
/// clone. See the [crate](crate) for an example.
pub struct QueueLayer<H, M> {
    handler: H,
    config: QueueConfig,
    message: PhantomData<fn(M)>,
}

impl<H: Service<M>, M> QueueLayer<H, M> {
    /// Bounds of [`QueueConfig::default`].
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            config: QueueConfig::default(),
            message: PhantomData,
        }
    }

    /// Other bounds.
    pub fn config(mut self, config: QueueConfig) -> Self {
        self.config = config;
        self
    }
}

impl<S, H: Clone, M> Layer<S> for QueueLayer<H, M> {
    type Service = Queue<S, H, M>;

    fn layer(&self, inner: S) -> Queue<S, H, M> {
        Queue::new(inner, self.handler.clone(), self.config.clone())
    }
}

impl<H: Clone, M> Clone for QueueLayer<H, M> {
    fn clone(&self) -> Self {
        let (handler, config) = (self.handler.clone(), self.config.clone());
        Self {
            handler,
            config,
            message: PhantomData,
        }
    }
}

impl<H, M> fmt::Debug for QueueLayer<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
