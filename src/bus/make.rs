//! Makes connections of a bus.
//!
//! In: targets. Out: [`BusChannel`]s. May touch: the stack below.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use kyneta_uds_core::{Channel, Redial as _};
use kyneta_uds_unix::UnixTarget;
use tower_service::Service;

use super::{
    channel::{BusChannel, SaveFn},
    shared::Shared,
    wire::Wire,
};
use crate::stack::MakeChannel;

/// A make service of [`BusChannel`]s.
#[derive(Debug)]
pub(crate) struct MakeBusChannel<S, C> {
    inner: S,
    /// Absent for a stack that does not give the state of its connections.
    save: Option<SaveFn<C>>,
    shared: Arc<Shared>,
}

impl<S, C> MakeBusChannel<S, C> {
    pub(crate) const fn new(inner: S, save: Option<SaveFn<C>>, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            save,
            shared,
        }
    }
}

impl<S: Clone, C> Clone for MakeBusChannel<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            save: self.save,
            shared: self.shared.clone(),
        }
    }
}

impl<S, C> Service<UnixTarget> for MakeBusChannel<S, C>
where
    S: MakeChannel<Wire, In = Wire, Channel = C>,
    C: Channel<Wire, In = Wire> + 'static,
{
    type Response = BusChannel<C>;
    type Error = S::MakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::MakeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::MakeError>> {
        self.inner.poll_ready(cx)
    }

    // Boxed: once a connection.
    fn call(&mut self, target: UnixTarget) -> Self::Future {
        let (save, shared) = (self.save, self.shared.clone());
        let is_dialed = target.redial().is_some();
        let channel = self.inner.call(target);
        Box::pin(async move {
            let channel = channel.await?;
            Ok(match is_dialed {
                true => BusChannel::dialed(channel, shared),
                false => BusChannel::accepted(channel, save, shared),
            })
        })
    }
}
