//! The service of the layer. In: a target. Out: a channel that reconnects, or an accepted one unchanged.

use std::{
    fmt,
    marker::PhantomData,
    mem,
    task::{Context, Poll},
};

use kyneta_uds_core::{BoxError, Redial};
use tower_service::Service;

use crate::{
    channel::Reconnecting, future::ReconnectFuture, policy::Recover, state_watch::StateWatch,
};

/// Makes [`Reconnecting`] channels. See [`ReconnectLayer`](crate::ReconnectLayer).
pub struct Reconnect<S, P, M> {
    inner: S,
    policy: P,
    state_watch: StateWatch,
    message: PhantomData<fn(M)>,
}

impl<S, P, M> Reconnect<S, P, M> {
    pub(crate) const fn new(inner: S, policy: P, state_watch: StateWatch) -> Self {
        Self {
            inner,
            policy,
            state_watch,
            message: PhantomData,
        }
    }

    /// The make service below.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, P, T, M> Service<T> for Reconnect<S, P, M>
where
    S: Service<T, Error: Into<BoxError>> + Clone,
    P: Recover + Clone,
    T: Redial,
{
    type Response = Reconnecting<S, T, P, M>;
    type Error = S::Error;
    type Future = ReconnectFuture<S, T, P, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> Self::Future {
        if target.redial().is_none() {
            return ReconnectFuture::passing(self.inner.call(target));
        }
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        let (policy, state_watch) = (self.policy.clone(), self.state_watch.clone());
        ReconnectFuture::made(Reconnecting::connecting(ready, target, policy, state_watch))
    }
}

impl<S: Clone, P: Clone, M> Clone for Reconnect<S, P, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.policy.clone(),
            self.state_watch.clone(),
        )
    }
}

impl<S: fmt::Debug, P: fmt::Debug, M> fmt::Debug for Reconnect<S, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
