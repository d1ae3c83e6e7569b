//! The layer: its handlers and bounds, and what it wraps.
//!
//! In: a handler, or what makes one for each connection; the make service below. Out: the make service of handles.
//! Touches nothing.

use std::{fmt, marker::PhantomData};

use tower_layer::Layer;
use tower_service::Service;

use crate::{config::QueueConfig, handler_source::HandlerSource, service::Queue, weak::WeakHandle};

/// Makes handles out of channels; what comes in goes to a handler of the user's.
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_queue::{QueueConfig, QueueLayer};
/// use tower::service_fn;
///
/// let print = service_fn(async |msg: ChannelMsg| {
///     println!("{msg:?}");
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let layer = QueueLayer::new(print).config(QueueConfig::default().max_messages(256));
/// ```
pub struct QueueLayer<H, M> {
    handler_source: HandlerSource<H, M>,
    config: QueueConfig,
    message: PhantomData<fn(M)>,
}

impl<H: Service<M>, M> QueueLayer<H, M> {
    /// Each connection gets a clone of `handler`. Bounds of [`QueueConfig::default`].
    pub fn new(handler: H) -> Self {
        Self::of(HandlerSource::Same(handler))
    }
}

impl<H, M> QueueLayer<H, M> {
    /// As [`new`](Self::new), for a channel that does not yield the bare message: a layer of yours has
    /// added to it, such as its sender. `handler` takes what the channel yields
    /// ([`Channel::In`](kyneta_uds_core::Channel::In)); the message follows from the channel.
    pub fn inbound(handler: H) -> Self {
        Self::of(HandlerSource::Same(handler))
    }

    /// Each connection gets a handler of its own, which can answer on that connection: `make` is given
    /// its handle, a weak one, so that the handler does not keep the connection open. Bounds of
    /// [`QueueConfig::default`].
    ///
    /// ```
    /// use kyneta_uds_core::ChannelMsg;
    /// use kyneta_uds_queue::{QueueLayer, WeakHandle};
    /// use tower::service_fn;
    ///
    /// let echo = QueueLayer::per_connection(|handle: WeakHandle<ChannelMsg>| {
    ///     service_fn(move |msg: ChannelMsg| {
    ///         let handle = handle.upgrade();
    ///         async move {
    ///             match handle {
    ///                 Some(mut handle) => handle.queue(msg).await,
    ///                 None => Ok(()), // the connection closes
    ///             }
    ///         }
    ///     })
    /// });
    /// ```
    pub fn per_connection(make: impl Fn(WeakHandle<M>) -> H + Send + Sync + 'static) -> Self {
        Self::of(HandlerSource::made(make))
    }

    fn of(handler_source: HandlerSource<H, M>) -> Self {
        Self {
            handler_source,
            config: QueueConfig::default(),
            message: PhantomData,
        }
    }

    /// Other bounds.
    pub fn config(mut self, config: QueueConfig) -> Self {
        self.config = config;
        self
    }
}

impl<S, H: Clone, M> Layer<S> for QueueLayer<H, M> {
    type Service = Queue<S, H, M>;

    fn layer(&self, inner: S) -> Queue<S, H, M> {
        Queue::new(inner, self.handler_source.clone(), self.config.clone())
    }
}

impl<H: Clone, M> Clone for QueueLayer<H, M> {
    fn clone(&self) -> Self {
        let (handler_source, config) = (self.handler_source.clone(), self.config.clone());
        Self {
            handler_source,
            config,
            message: PhantomData,
        }
    }
}

impl<H, M> fmt::Debug for QueueLayer<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
