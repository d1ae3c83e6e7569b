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
use kyneta_uds_queue::Handle;
use kyneta_uds_unix::Listener;
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

    /// A channel that goes on as the listener of another process, with its members: their handles, as the accept handler
    /// has returned them. Instead of calling this service. The role is that of the listener at once.
    ///
    /// ```
    /// use kyneta_uds_cbor::CborLayer;
    /// use kyneta_uds_core::{ChannelMsg, SocketPath};
    /// use kyneta_uds_framing::FramingLayer;
    /// use kyneta_uds_negotiate::{NegotiateLayer, machine::Role};
    /// use kyneta_uds_queue::{QueueConfig, queue};
    /// use kyneta_uds_unix::{ListenerOptions, UnixConnector};
    /// use std::time::Duration;
    /// use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = SocketPath::new(dir.path().join("bus.sock"))?;
    /// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    /// let below = ServiceBuilder::new()
    ///     .layer(CborLayer::new())
    ///     .layer(FramingLayer::new())
    ///     .service(UnixConnector::new());
    /// let layer = NegotiateLayer::new(ignore);
    /// let role = layer.role_watch();
    /// let (former, driver) = queue(QueueConfig::default());
    /// let channel = layer.layer(below.clone()).oneshot(path.clone()).await?;
    /// let driven = tokio::spawn(driver.drive(channel, ignore));
    /// role.settled().await?;
    ///
    /// let mut held = role.hold(Duration::from_millis(500)).await?;
    /// let (descriptors, saved) = held.listener().ok_or("taken")?;
    /// // In the successor:
    /// let listener = ListenerOptions::new().resume(path.clone(), descriptors, &saved)?;
    /// let layer = NegotiateLayer::new(ignore);
    /// let next = layer.layer(below).resume(path.clone(), listener, Vec::new());
    /// assert_eq!(next.role(), Role::Listener);
    /// // In the predecessor:
    /// held.leave();
    /// former.abort();
    /// driven.await?;
    /// assert!(path.as_pathname().is_some_and(|at| at.exists()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(
        &self,
        path: SocketPath,
        listener: impl Into<Box<Listener>>,
        members: Vec<Handle<M>>,
    ) -> Negotiated<S, A, M>
    where
        S: MakeChannel<M>,
        A: AcceptHandler<S::Channel, S::MakeError, M>,
        M: Message + Clone,
    {
        let (make, settings) = (self.inner.clone(), self.settings.clone());
        Negotiated::resume(path, make, settings, listener.into(), members)
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
