//! The state of a layer's connections, seen from outside.
//!
//! In: the transitions of the layer's channels. Out: the last state, and each transition. May touch: tokio's
//! channels, which never make a channel wait for a receiver.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream;
use kyneta_uds_core::undisturbed;
use tokio::sync::{broadcast, watch};

use crate::machine::{State, StateKind, Transition};

/// Transitions kept for a receiver that is behind.
const KEPT: usize = 256;

/// The state of the connections of a [`ReconnectLayer`](crate::ReconnectLayer). All channels that its
/// services make publish here, so with more than one the states alternate. Cheap to clone.
///
/// A channel that is dropped, with its driver, by a panic or with the runtime, is reported disconnected on
/// purpose.
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_reconnect::{ReconnectLayer, ReconnectPolicy, StateKind};
///
/// let layer = ReconnectLayer::<ReconnectPolicy, ChannelMsg>::default();
/// let states = layer.state_watch();
/// assert_eq!(states.state().kind(), StateKind::Disconnected);
/// assert!(!states.is_connected());
/// ```
#[derive(Clone)]
pub struct StateWatch {
    shared: Arc<Shared>,
}

struct Shared {
    last: watch::Sender<State>,
    each: broadcast::Sender<Transition>,
    hook: OnceLock<Hook>,
}

type Hook = Box<dyn Fn(&Transition) + Send + Sync>;

impl StateWatch {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                last: watch::Sender::new(State::default()),
                each: broadcast::Sender::new(KEPT),
                hook: OnceLock::new(),
            }),
        }
    }

    /// Called on each transition, before it is published. The first one counts.
    pub(crate) fn hook(&self, hook: impl Fn(&Transition) + Send + Sync + 'static) {
        let _ = self.shared.hook.set(Box::new(hook));
    }

    pub(crate) fn publish(&self, transition: Option<Transition>) {
        let Some(transition) = transition else {
            return;
        };
        tracing::debug!(from = %transition.from, to = %transition.to, "connection");
        if let Some(hook) = self.shared.hook.get() {
            // The drop of the channel publishes, too: a second panic there would abort the process.
            undisturbed(|| hook(&transition));
        }
        self.shared.last.send_replace(transition.to.clone());
        // Without receivers it fails.
        drop(self.shared.each.send(transition));
    }

    /// The last state.
    pub fn state(&self) -> State {
        self.shared.last.borrow().clone()
    }

    /// True while the last state is [`State::Connected`].
    pub fn is_connected(&self) -> bool {
        matches!(*self.shared.last.borrow(), State::Connected)
    }

    /// Waits until the last state is one that is wanted; at once, if it is already. A state that ends before
    /// this task is polled may be missed: see [`transitions`](Self::transitions). Ends, too, with the state
    /// that a connection does not leave any more: disconnected, with a reason.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # use kyneta_uds_reconnect::{State, StateWatch};
    /// # async fn example(states: StateWatch) {
    /// let given_up = states
    ///     .wait_for(|state| matches!(state, State::Disconnected { reason: Some(_) }))
    ///     .await;
    /// # let _ = given_up;
    /// # }
    /// ```
    pub async fn wait_for(&self, mut wanted: impl FnMut(&State) -> bool) -> State {
        let mut last = self.shared.last.subscribe();
        loop {
            // Not called under the watch's lock.
            let state = last.borrow_and_update().clone();
            let is_over = matches!(state, State::Disconnected { reason: Some(_) });
            if wanted(&state) || is_over || last.changed().await.is_err() {
                return state;
            }
        }
    }

    /// Waits until the last state is of a kind, as [`wait_for`](Self::wait_for) does.
    ///
    /// ```
    /// # use kyneta_uds_reconnect::{StateKind, StateWatch};
    /// # async fn example(states: StateWatch) {
    /// states.wait_for_kind(StateKind::Connected).await;
    /// # }
    /// ```
    pub async fn wait_for_kind(&self, kind: StateKind) -> State {
        self.wait_for(|state| state.kind() == kind).await
    }

    /// Each transition from now on. A receiver that is more than 256 behind gets the number that it missed.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// # use kyneta_uds_reconnect::StateWatch;
    /// # async fn example(states: StateWatch) {
    /// let mut transitions = states.transitions();
    /// while let Some(Ok(transition)) = transitions.next().await {
    ///     println!("{} -> {}", transition.from, transition.to);
    /// }
    /// # }
    /// ```
    pub fn transitions(&self) -> Transitions {
        let each = self.shared.each.subscribe();
        let inner = stream::unfold(each, async |mut each| {
            use broadcast::error::RecvError::{Closed, Lagged};
            match each.recv().await {
                Ok(transition) => Some((Ok(transition), each)),
                Err(Lagged(count)) => Some((Err(Missed(count)), each)),
                Err(Closed) => None,
            }
        });
        Transitions {
            inner: Box::pin(inner),
        }
    }

    /// The last state as a watch of tokio's.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared.last.subscribe()
    }
}

impl fmt::Debug for StateWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clone: the watch's lock is not held while an error of the user's is written.
        f.debug_tuple("StateWatch").field(&self.state()).finish()
    }
}

/// As many transitions were dropped before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} transitions missed: they were not read in time")]
pub struct Missed(pub u64);

/// Each transition, in order. Ends when the layer, all that it made and each [`StateWatch`] are dropped.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Transitions {
    inner: Pin<Box<dyn Stream<Item = Result<Transition, Missed>> + Send>>,
}

impl Stream for Transitions {
    type Item = Result<Transition, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions").finish_non_exhaustive()
    }
}
