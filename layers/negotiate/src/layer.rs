//! The layer and its settings.

use std::{fmt, marker::PhantomData, time::Duration};

use kyneta_uds_queue::QueueConfig;
use kyneta_uds_unix::{AccessPolicy, ListenerOptions};
use tower_layer::Layer;
use tower_service::Service;

use crate::{per_peer::PerPeer, role_watch::RoleWatch, service::Negotiate, settings::Settings};

/// Makes channels that listen or connect, and change role, out of channels.
///
/// Three things must be `Clone`, because a peer has many others to deal with, one after the other or at
/// once:
///
/// * the message: as the listener, what is sent goes to each who is connected;
/// * the maker below: each attempt to connect, and each accepted stream, is given a clone;
/// * the handler, or the [`AcceptHandler`](crate::AcceptHandler): each who connects is given a clone.
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
pub struct NegotiateLayer<A, M> {
    host: A,
    settings: Settings,
    roles: RoleWatch,
    message: PhantomData<fn(M)>,
}

impl<H: Service<M>, M> NegotiateLayer<PerPeer<H>, M> {
    /// As the listener, gives each who connects a clone of `handler`, with a queue of
    /// [`QueueConfig::default`].
    pub fn new(handler: H) -> Self {
        Self::with_accept_handler(PerPeer::new(handler, QueueConfig::default()))
    }
}

impl<A, M> NegotiateLayer<A, M> {
    /// As the listener, has `host` attend to those who connect. See [`AcceptHandler`](crate::AcceptHandler).
    pub fn with_accept_handler(host: A) -> Self {
        Self {
            host,
            settings: Settings {
                listener: ListenerOptions::new(),
                allow_listener: None,
                regroup: Duration::from_secs(5),
            },
            roles: RoleWatch::new(),
            message: PhantomData,
        }
    }

    /// The file's mode, and what to do about a stale one. [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.settings.listener = options;
        self
    }

    /// Which processes this side deals with as listeners. By default those that the
    /// [`listener`](Self::listener)'s options let in: our own user's, unless they say otherwise. It is
    /// asked of the credentials of each connection that is made; no message and no admission passes
    /// before. With an `HandshakeLayer` below, an `AuthorizeLayer` below that one keeps the
    /// introduction, too, from other listeners. A connector that hides the credentials (one of
    /// `hyperlocal`'s) needs [`AccessPolicy::anyone`].
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

    /// How long a listener whom nobody is connected to holds on to what waits, from the moment that
    /// somebody last was: after a change of listener the others take a moment to come. Then, and
    /// where nobody ever was, and at once when it leaves, it goes to nobody, and counts as sent. 5 s
    /// by default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.settings.regroup = regroup;
        self
    }

    /// What the peer is, seen from outside.
    pub fn role_watch(&self) -> RoleWatch {
        self.roles.clone()
    }
}

impl<S, A: Clone, M> Layer<S> for NegotiateLayer<A, M> {
    type Service = Negotiate<S, A, M>;

    fn layer(&self, inner: S) -> Negotiate<S, A, M> {
        Negotiate::new(
            inner,
            self.host.clone(),
            self.settings.clone(),
            self.roles.clone(),
        )
    }
}

impl<A: Clone, M> Clone for NegotiateLayer<A, M> {
    fn clone(&self) -> Self {
        Self {
            host: self.host.clone(),
            settings: self.settings.clone(),
            roles: self.roles.clone(),
            message: PhantomData,
        }
    }
}

impl<A: fmt::Debug, M> fmt::Debug for NegotiateLayer<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NegotiateLayer")
            .field("host", &self.host)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
