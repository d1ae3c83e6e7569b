//! The usual accept handler: a queue, a task and a clone of one handler for each connection.
//!
//! In: accepted channels. Out: a handle for each. May touch: a task of tokio's for each.

use std::fmt;

use futures_util::FutureExt as _;
use kyneta_uds_core::{BoxError, Chain, Channel, Message};
use kyneta_uds_queue::{Overflow, QueueConfig, queue};
use kyneta_uds_unix::ConnectionPermit;
use tower_service::Service;

use crate::{accept_handler::AcceptHandler, entrance::Entrance};

/// Gives each accepted connection a clone of one handler, a queue, and a task of tokio's.
#[derive(Clone)]
pub struct PerPeer<H> {
    handler: H,
    config: QueueConfig,
}

impl<H> PerPeer<H> {
    /// Sets the bounds of each queue.
    ///
    /// ```
    /// use kyneta_uds_negotiate::PerPeer;
    /// use kyneta_uds_queue::QueueConfig;
    /// use tower::service_fn;
    ///
    /// let ignore = service_fn(async |_: u32| Ok::<(), std::convert::Infallible>(()));
    /// let per_peer = PerPeer::new(ignore, QueueConfig::default().max_messages(64));
    /// ```
    pub fn new(handler: H, config: QueueConfig) -> Self {
        Self {
            handler,
            config: for_members(config),
        }
    }
}

/// A queue of one of many members cannot fail a message: its sender would not learn which member has missed
/// it. It waits, and the queue above it fails.
pub fn for_members(config: QueueConfig) -> QueueConfig {
    match config.overflows() {
        Overflow::Fail => config.overflow(Overflow::Wait),
        _ => config,
    }
}

impl<C, E, M, H> AcceptHandler<C, E, M> for PerPeer<H>
where
    C: Channel<M, In: Message, Future: Send> + Send + 'static,
    E: Into<BoxError>,
    M: Message,
    H: Service<C::In, Response = (), Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    async fn accept(self, channel: C, permit: ConnectionPermit, entrance: Entrance<M>) {
        let (handle, driver) = queue(self.config);
        entrance.enter(handle);
        tokio::spawn(
            driver
                .drive(channel, self.handler)
                .map(move |_| drop(permit)),
        );
    }

    fn accept_failed(&self, error: E) {
        let error: BoxError = error.into();
        tracing::debug!(error = %Chain(&*error), "an accepted stream did not become a channel");
    }
}

impl<H> fmt::Debug for PerPeer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerPeer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
