//! The layer: a policy, and where its channels say how they stand.

use tower::retry::backoff::MakeBackoff;
use tower_layer::Layer;

use crate::{
    backoffs::Backoffs, machine::Transition, policy::ReconnectPolicy, service::Reconnect,
    state_watch::StateWatch,
};

/// Makes channels that come back out of channels.
///
/// See the [crate](crate) for an example.
#[derive(Debug, Clone)]
pub struct ReconnectLayer<P = ReconnectPolicy> {
    policy: P,
    states: StateWatch,
}

impl<P> ReconnectLayer<P> {
    /// Comes back as `policy` says: a [`ReconnectPolicy`], or anything that
    /// [`Recover`](crate::Recover)s.
    pub fn new(policy: P) -> Self {
        Self {
            policy,
            states: StateWatch::new(),
        }
    }

    /// Where the connections stand that this layer, its clones and their services make.
    pub fn state_watch(&self) -> StateWatch {
        self.states.clone()
    }

    /// Calls `on_transition` on each transition, in the task that drives the channel: be quick.
    /// Said twice, the first one counts.
    ///
    /// ```
    /// use kyneta_uds_reconnect::ReconnectLayer;
    /// let layer = ReconnectLayer::default()
    ///     .on_transition(|transition| println!("{} -> {}", transition.from, transition.to));
    /// ```
    pub fn on_transition(
        self,
        on_transition: impl Fn(&Transition) + Send + Sync + 'static,
    ) -> Self {
        self.states.hook(on_transition);
        self
    }
}

impl<B: MakeBackoff> ReconnectLayer<Backoffs<B>> {
    /// Comes back as one of tower's backoffs says, and never gives up.
    pub fn with_backoff(maker: B) -> Self {
        Self::new(Backoffs::new(maker))
    }
}

impl Default for ReconnectLayer {
    fn default() -> Self {
        Self::new(ReconnectPolicy::new())
    }
}

impl<S, P: Clone> Layer<S> for ReconnectLayer<P> {
    type Service = Reconnect<S, P>;

    fn layer(&self, inner: S) -> Reconnect<S, P> {
        Reconnect::new(inner, self.policy.clone(), self.states.clone())
    }
}
