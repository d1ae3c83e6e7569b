//! The layer: a policy, and the watch of its channels' states.
//!
//! In: a policy. Out: a make service of [`Reconnecting`](crate::Reconnecting). Touches nothing.

use std::{fmt, marker::PhantomData};

use tower::retry::backoff::MakeBackoff;
use tower_layer::Layer;

use crate::{
    machine::Transition, policy::ReconnectPolicy, service::Reconnect, state_watch::StateWatch,
    tower_backoff::Backoffs,
};

/// Makes channels that reconnect.
///
/// `M`, the message, is inferred from the channels below.
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_reconnect::{ReconnectLayer, ReconnectPolicy};
///
/// let layer = ReconnectLayer::<_, ChannelMsg>::new(ReconnectPolicy::new().max_attempts(10));
/// let states = layer.state_watch(); // of the channels that the layer's stack makes
/// # let _ = states;
/// ```
pub struct ReconnectLayer<P, M> {
    policy: P,
    state_watch: StateWatch,
    message: PhantomData<fn(M)>,
}

impl<P, M> ReconnectLayer<P, M> {
    /// Reconnects as `policy` says: a [`ReconnectPolicy`], or anything that
    /// [`Recover`](crate::Recover)s.
    pub fn new(policy: P) -> Self {
        Self {
            policy,
            state_watch: StateWatch::new(),
            message: PhantomData,
        }
    }

    /// The state of the connections that this layer, its clones and their services make.
    pub fn state_watch(&self) -> StateWatch {
        self.state_watch.clone()
    }

    /// Calls `on_transition` on each transition, in the task that drives the channel: it must not block. A
    /// panic in it costs nothing else. Set twice, the first one counts.
    ///
    /// ```
    /// use kyneta_uds_core::ChannelMsg;
    /// use kyneta_uds_reconnect::{ReconnectLayer, ReconnectPolicy};
    ///
    /// let layer = ReconnectLayer::<ReconnectPolicy, ChannelMsg>::default()
    ///     .on_transition(|transition| println!("{} -> {}", transition.from, transition.to));
    /// ```
    pub fn on_transition(
        self,
        on_transition: impl Fn(&Transition) + Send + Sync + 'static,
    ) -> Self {
        self.state_watch.hook(on_transition);
        self
    }
}

impl<B: MakeBackoff, M> ReconnectLayer<Backoffs<B>, M> {
    /// Reconnects as one of tower's backoffs says, and never gives up.
    pub fn with_backoff(maker: B) -> Self {
        Self::new(Backoffs::new(maker))
    }
}

impl<M> Default for ReconnectLayer<ReconnectPolicy, M> {
    fn default() -> Self {
        Self::new(ReconnectPolicy::new())
    }
}

impl<S, P: Clone, M> Layer<S> for ReconnectLayer<P, M> {
    type Service = Reconnect<S, P, M>;

    fn layer(&self, inner: S) -> Reconnect<S, P, M> {
        Reconnect::new(inner, self.policy.clone(), self.state_watch.clone())
    }
}

impl<P: Clone, M> Clone for ReconnectLayer<P, M> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            state_watch: self.state_watch.clone(),
            message: PhantomData,
        }
    }
}

impl<P: fmt::Debug, M> fmt::Debug for ReconnectLayer<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectLayer")
            .field("policy", &self.policy)
            .field("state_watch", &self.state_watch)
            .finish()
    }
}
