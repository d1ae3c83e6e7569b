//! The service of the layer.
//!
//! In: a path. Out: a [`Negotiated`] channel, at once: it negotiates while it is polled.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    task::{Context, Poll},
};

use kyneta_uds_core::{Message, SocketPath};
use tower_service::Service;

use crate::{
    accept_handler::AcceptHandler, channel::Negotiated, make_channel::MakeChannel,
    role_watch::RoleWatch, settings::Settings,
};

/// Makes channels that listen or connect. See [`NegotiateLayer`](crate::NegotiateLayer).
pub struct Negotiate<S, A, M> {
    inner: S,
    accept_handler: A,
    settings: Settings,
    role_watch: RoleWatch,
    message: PhantomData<fn(M)>,
}

impl<S, A, M> Negotiate<S, A, M> {
    pub(crate) fn new(
        inner: S,
        accept_handler: A,
        settings: Settings,
        role_watch: RoleWatch,
    ) -> Self {
        Self {
            inner,
            accept_handler,
            settings,
            role_watch,
            message: PhantomData,
        }
    }

    /// The make service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, A, M> Service<SocketPath> for Negotiate<S, A, M>
where
    S: MakeChannel<M>,
    A: AcceptHandler<S::Channel, S::MakeError, M>,
    M: Message + Clone,
{
    type Response = Negotiated<S, A, M>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The make service below is asked anew for each attempt.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, path: SocketPath) -> Self::Future {
        ready(Ok(Negotiated::new(
            path,
            self.inner.clone(),
            self.accept_handler.clone(),
            self.settings.clone(),
            self.role_watch.clone(),
        )))
    }
}

impl<S: Clone, A: Clone, M> Clone for Negotiate<S, A, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.accept_handler.clone(),
            self.settings.clone(),
            self.role_watch.clone(),
        )
    }
}

impl<S: fmt::Debug, A, M> fmt::Debug for Negotiate<S, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiate")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
