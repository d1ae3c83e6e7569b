//! The service of the layer.
//!
//! In: a path. Out: a [`Negotiated`] channel, at once: it negotiates while it is polled.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    marker::PhantomData,
    task::{Context, Poll},
};

use kyneta_uds_core::{Message, SocketPath};
use tower_service::Service;

use crate::{
    accept_handler::AcceptHandler, channel::Negotiated, make_channel::MakeChannel,
    settings::Settings,
};

/// Makes channels that listen or connect. See [`NegotiateLayer`](crate::NegotiateLayer).
#[derive(Debug, Clone)]
pub struct Negotiate<S, A, M> {
    inner: S,
    settings: Settings<A>,
    message: PhantomData<fn(M)>,
}

impl<S, A, M> Negotiate<S, A, M> {
    pub(crate) fn new(inner: S, settings: Settings<A>) -> Self {
        Self {
            inner,
            settings,
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
        let (make, settings) = (self.inner.clone(), self.settings.clone());
        ready(Ok(Negotiated::new(path, make, settings)))
    }
}
