//! A layer: no channel to a listener that the access policy does not allow.
//!
//! In: a make service of channels. Out: the same channels, when their listener is allowed. May touch: the
//! channel's credentials, known since it was made. Nothing has been read or written yet.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{BoxError, Channel, Credentials, Redial};
use tower_layer::Layer;
use tower_service::Service;

use crate::{access_policy::AccessPolicy, credentials::Display};

/// Checks the listener's credentials of each new connection before anything is sent: for a path where another
/// user could have bound a socket. It goes above the codec.
///
/// Accepted streams pass unchecked: the [`Listener`](crate::Listener) has checked them
/// ([`ListenerOptions::allow`](crate::ListenerOptions::allow)).
///
/// ```
/// use kyneta_uds_cbor::CborLayer;
/// use kyneta_uds_core::{ChannelMsg, SocketPath};
/// use kyneta_uds_framing::FramingLayer;
/// use kyneta_uds_queue::QueueLayer;
/// use kyneta_uds_unix::{AccessPolicy, AuthorizeLayer, Listener, UnixConnector};
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kyneta_uds_core::BoxError> {
/// # let dir = tempfile::tempdir()?;
/// let path = SocketPath::new(dir.path().join("bus.sock"))?;
/// let _listener = Listener::bind(path.clone()).await?;
/// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
/// let stack_for = |policy| {
///     ServiceBuilder::new()
///         .layer(QueueLayer::new(ignore))
///         .layer(AuthorizeLayer::new(policy))
///         .layer(CborLayer::new())
///         .layer(FramingLayer::new())
///         .service(UnixConnector::new())
/// };
/// stack_for(AccessPolicy::same_uid()).oneshot(path.clone().into()).await?;
/// let error = stack_for(AccessPolicy::uids([])).oneshot(path.into()).await.unwrap_err();
/// assert!(error.to_string().ends_with("listens there, which is not allowed"));
/// # Ok(())
/// # }
/// ```
pub struct AuthorizeLayer<M> {
    allow: AccessPolicy,
    message: PhantomData<fn(M)>,
}

impl<M> AuthorizeLayer<M> {
    /// Connects only to listeners that the policy allows.
    pub const fn new(allow: AccessPolicy) -> Self {
        Self {
            allow,
            message: PhantomData,
        }
    }
}

impl<S, M> Layer<S> for AuthorizeLayer<M> {
    type Service = Authorize<S, M>;

    fn layer(&self, inner: S) -> Authorize<S, M> {
        Authorize {
            inner,
            allow: self.allow.clone(),
            message: PhantomData,
        }
    }
}

/// Makes channels to allowed listeners. See [`AuthorizeLayer`].
pub struct Authorize<S, M> {
    inner: S,
    allow: AccessPolicy,
    message: PhantomData<fn(M)>,
}

impl<S, M> Authorize<S, M> {
    /// The make service below.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

/// The policy does not allow the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} listens there, which is not allowed", Display(*credentials))]
pub struct NotAllowed {
    /// Of the listener, where the kernel reports them.
    pub credentials: Option<Credentials>,
}

impl<S, M, T> Service<T> for Authorize<S, M>
where
    S: Service<T, Response: Channel<M>, Error: Into<BoxError>>,
    T: Redial,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AuthorizeFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: T) -> Self::Future {
        let connects = target.redial().is_some();
        AuthorizeFuture {
            inner: self.inner.call(target),
            allow: connects.then(|| self.allow.clone()),
            message: PhantomData,
        }
    }
}

/// Waits for the channel, then checks the listener.
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project::pin_project]
pub struct AuthorizeFuture<F, M> {
    #[pin]
    inner: F,
    /// Absent for an accepted stream.
    allow: Option<AccessPolicy>,
    message: PhantomData<fn(M)>,
}

impl<F, C, E, M> Future for AuthorizeFuture<F, M>
where
    F: Future<Output = Result<C, E>>,
    C: Channel<M>,
    E: Into<BoxError>,
{
    type Output = Result<C, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let channel = ready!(this.inner.poll(cx)).map_err(Into::into)?;
        let credentials = channel.connection().credentials;
        Poll::Ready(match this.allow {
            Some(allow) if !allow.allows(credentials) => Err(NotAllowed { credentials }.into()),
            _ => Ok(channel),
        })
    }
}

impl<M> Clone for AuthorizeLayer<M> {
    fn clone(&self) -> Self {
        Self::new(self.allow.clone())
    }
}

impl<S: Clone, M> Clone for Authorize<S, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            allow: self.allow.clone(),
            message: PhantomData,
        }
    }
}

impl<M> fmt::Debug for AuthorizeLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorizeLayer").field(&self.allow).finish()
    }
}

impl<S: fmt::Debug, M> fmt::Debug for Authorize<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize")
            .field("inner", &self.inner)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

impl<F, M> fmt::Debug for AuthorizeFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeFuture").finish_non_exhaustive()
    }
}
