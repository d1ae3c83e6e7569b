//! The make service: in, a target; out, a channel over the frame transport of the inner service.

use std::{
    fmt,
    task::{Context, Poll},
};

use kyneta_uds_core::Frames;
use tower_service::Service;

use crate::{Codec, channel::CborChannel, future::CborFuture};

/// Makes [`CborChannel`]s. See [`CborLayer`](crate::CborLayer).
#[derive(Clone)]
pub struct Cbor<S, C> {
    inner: S,
    codec: C,
}

impl<S, C> Cbor<S, C> {
    /// Wraps a make service of frame transports; `codec` is cloned for each connection.
    pub const fn new(inner: S, codec: C) -> Self {
        Self { inner, codec }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(crate) const fn codec(&self) -> &C {
        &self.codec
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

impl<S, C, T> Service<T> for Cbor<S, C>
where
    S: Service<T>,
    S::Response: Frames,
    C: Codec + Clone,
{
    type Response = CborChannel<S::Response, C>;
    type Error = S::Error;
    type Future = CborFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> Self::Future {
        CborFuture::new(self.inner.call(target), self.codec.clone())
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Cbor<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cbor")
            .field("inner", self.get_ref())
            .finish_non_exhaustive()
    }
}
