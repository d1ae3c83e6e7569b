//! The make service: wraps what the inner service makes in a frame transport.
//!
//! In: a target. Out: a transport of frames, before any byte has arrived. May touch: the inner service, alone.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::{
    config::FramingConfig, future::FramingFuture, stream::ByteStream, transport::FrameTransport,
};

/// Makes frame transports. Made by [`FramingLayer`](crate::FramingLayer).
///
/// Its errors are those of the inner service: framing itself cannot fail before a byte arrives.
///
/// ```
/// use kyneta_uds_framing::{Framing, FramingConfig};
///
/// let connect = tower::service_fn(|io: tokio::io::DuplexStream| async { Ok::<_, ()>(io) });
/// let framing = Framing::new(connect, FramingConfig::new());
/// let _connect = framing.into_inner();
/// ```
#[derive(Debug, Clone)]
pub struct Framing<S> {
    inner: S,
    config: FramingConfig,
}

impl<S> Framing<S> {
    /// Wraps a make service of byte streams. Its connections share the inbound budget of `config`, if any.
    pub const fn new(inner: S, config: FramingConfig) -> Self {
        Self { inner, config }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(crate) const fn config(&self) -> &FramingConfig {
        &self.config
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T> Service<T> for Framing<S>
where
    S: Service<T>,
    S::Response: ByteStream,
{
    type Response = FrameTransport<S::Response>;
    type Error = S::Error;
    type Future = FramingFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> Self::Future {
        FramingFuture::new(self.inner.call(target), self.config.clone())
    }
}

#[cfg(test)]
mod tests {
    use tower_layer::Layer as _;

    use super::*;
    use crate::{FramingLayer, InboundBudget};

    #[test]
    fn clones_share_one_budget_and_services_share_the_one_they_were_given() {
        let budget = |framing: &Framing<()>| framing.config.shared_inbound_budget().cloned();
        let layer = FramingLayer::new();
        let (one, other) = (layer.layer(()), layer.layer(()));
        assert_eq!(budget(&one).unwrap().limit(), 256 << 20);
        assert_eq!(budget(&one), budget(&one.clone()));
        assert_ne!(budget(&one), budget(&other));

        let given = InboundBudget::new(1);
        let layer = layer.inbound_budget(given.clone());
        for framing in [layer.layer(()), layer.clone().layer(())] {
            assert_eq!(budget(&framing), Some(given.clone()));
        }
    }
}
