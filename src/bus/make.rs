//! Makes connections of a bus.
//!
//! In: targets. Out: [`BusChannel`]s. May touch: the stack below.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::Redial as _;
use kyneta_uds_unix::UnixTarget;
use tower_service::Service;

use super::{channel::BusChannel, shared::Shared, wire::Wire};
use crate::stack::MakeChannel;

/// A make service of [`BusChannel`]s.
#[derive(Debug, Clone)]
pub(crate) struct MakeBusChannel<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> MakeBusChannel<S> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S: MakeChannel<Wire, In = Wire>> Service<UnixTarget> for MakeBusChannel<S> {
    type Response = BusChannel<S::Channel>;
    type Error = S::MakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::MakeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::MakeError>> {
        self.inner.poll_ready(cx)
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        let shared = self.shared.clone();
        let is_dialed = target.redial().is_some();
        let channel = self.inner.call(target);
        Box::pin(async move {
            let channel = channel.await?;
            Ok(match is_dialed {
                true => BusChannel::dialed(channel, shared),
                false => BusChannel::accepted(channel, shared),
            })
        })
    }
}
