//! The layer and its settings.
//!
//! In: settings. Out: a make service of [`Negotiated`](crate::Negotiated). Touches nothing.

use std::{marker::PhantomData, time::Duration};

use kyneta_uds_queue::QueueConfig;
use kyneta_uds_unix::{AccessPolicy, ListenerOptions};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    machine::Only, per_peer::PerPeer, role_watch::RoleWatch, service::Negotiate, settings::Settings,
};

/// Makes channels that listen or connect, and change role.
///
/// Three things must be `Clone`, because a peer has many connections, one after the other or at once:
///
/// * the message: as the listener, it is sent to each connected peer;
/// * the make service below: each attempt to connect, and each accepted stream, takes a clone;
/// * the handler, or the [`AcceptHandler`](crate::AcceptHandler): each accepted connection takes a clone.
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_negotiate::NegotiateLayer;
/// use std::time::Duration;
/// use tower::service_fn;
///
/// let print = service_fn(async |msg: ChannelMsg| {
///     println!("{msg:?}");
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let layer = NegotiateLayer::new(print).regroup(Duration::from_secs(1));
/// let roles = layer.role_watch(); // of the channel that the layer's stack makes
/// # let _ = roles;
/// ```
#[derive(Debug, Clone)]
pub struct NegotiateLayer<A, M> {
    settings: Settings<A>,
    message: PhantomData<fn(M)>,
}

impl<H: Service<M>, M> NegotiateLayer<PerPeer<H>, M> {
    /// As the listener, gives each accepted connection a clone of `handler`, with a queue of
    /// [`QueueConfig::default`].
    pub fn new(handler: H) -> Self {
        Self::with_accept_handler(PerPeer::new(handler, QueueConfig::default()))
    }
}

impl<A, M> NegotiateLayer<A, M> {
    /// As the listener, hands accepted connections to `accept_handler`. See
    /// [`AcceptHandler`](crate::AcceptHandler).
    pub fn with_accept_handler(accept_handler: A) -> Self {
        Self {
            settings: Settings::new(accept_handler),
            message: PhantomData,
        }
    }

    /// The socket file's mode, whether a stale file is replaced, and which processes may connect.
    /// [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.settings.listener = options;
        self
    }

    /// The access policy for listeners. By default it is that of the [`listener`](Self::listener)'s
    /// options: our own user's processes, unless they say otherwise. It checks the credentials of each
    /// connection that is made, before any message or admission passes. With a `HandshakeLayer` below, put an
    /// `AuthorizeLayer` below that one, so that other listeners do not receive the `establish` message,
    /// either. A connector that hides the credentials (one of `hyperlocal`'s) needs [`AccessPolicy::anyone`].
    ///
    /// ```
    /// use kyneta_uds_core::ChannelMsg;
    /// use kyneta_uds_negotiate::NegotiateLayer;
    /// use kyneta_uds_unix::AccessPolicy;
    /// use tower::service_fn;
    ///
    /// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    /// let layer = NegotiateLayer::new(ignore).allow_listener(AccessPolicy::same_uid().or(AccessPolicy::uids([0])));
    /// ```
    pub fn allow_listener(mut self, allow: AccessPolicy) -> Self {
        self.settings.allow_listener = Some(allow);
        self
    }

    /// How long a listener without connections keeps broadcast messages after the last peer disconnected:
    /// after a change of listener the other peers take a moment to connect. After that time, and where no
    /// peer was ever connected, and as soon as it leaves, messages go to no peer and count as sent. 5 s by
    /// default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.settings.regroup = regroup;
        self
    }

    /// Fixes the role: a channel that only listens, or only connects. By default it takes either.
    ///
    /// One that only listens reports it as an obstacle when another process does, and tries again; one that only
    /// connects waits for a listener.
    ///
    /// ```
    /// use kyneta_uds_core::ChannelMsg;
    /// use kyneta_uds_negotiate::{NegotiateLayer, machine::Only};
    /// use tower::service_fn;
    ///
    /// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    /// let layer = NegotiateLayer::new(ignore).only(Only::Connector);
    /// ```
    pub fn only(mut self, only: Only) -> Self {
        self.settings.only = Some(only);
        self
    }

    /// The role, seen from outside.
    pub fn role_watch(&self) -> RoleWatch {
        self.settings.role_watch.clone()
    }
}

impl<S, A: Clone, M> Layer<S> for NegotiateLayer<A, M> {
    type Service = Negotiate<S, A, M>;

    fn layer(&self, inner: S) -> Negotiate<S, A, M> {
        Negotiate::new(inner, self.settings.clone())
    }
}
