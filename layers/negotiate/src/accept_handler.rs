//! What a peer does as the one who listens, and whom it tells of its role.
//!
//! In: channels that were accepted, roles, refusals. Out: a handle for each channel. What it may
//! touch is the implementor's to say.

use std::fmt;

use kyneta_uds_core::{BoxError, Chain, Channel, Message, SharedError};
use kyneta_uds_queue::{Handle, Overflow, QueueConfig, queue};
use kyneta_uds_unix::{DirectoryRisk, Refusal};
use tower_service::Service;

use crate::{machine::Role, role_wait::Waiting};

/// Attends to those who have connected to us. `C` is the channel, `E` the error of its maker, `M`
/// the message.
///
/// [`Each`] is the one that [`NegotiateLayer::new`](crate::NegotiateLayer::new) uses.
pub trait Host<C, E, M>: Clone + Send + 'static {
    /// Takes a channel, sees that it is driven, and returns a handle to its queue. What is sent to
    /// the peer as a whole goes into each of these queues, and waits for each to have room.
    fn attend(&self, channel: C) -> Handle<M>;

    /// An accepted stream did not become a channel.
    fn not_attended(&self, error: E);

    /// Somebody has connected, and was hung up on at once. It has been logged.
    fn not_admitted(&self, refusal: &Refusal) {
        let _ = refusal;
    }

    /// The directory of the path that we listen at lets others replace the socket. It has been logged.
    fn at_risk(&self, risk: &DirectoryRisk) {
        let _ = risk;
    }

    /// This is the role from now on.
    fn announced(&self, role: Role) {
        let _ = role;
    }

    /// There has been no role for a second or more. It has been logged, and is told again after pauses
    /// that grow, as long as there is none.
    fn waiting(&self, waiting: &Waiting) {
        let _ = waiting;
    }

    /// Something is in the way that does not heal by itself; it is tried again all the same.
    fn refused(&self, error: &SharedError) {
        let _ = error;
    }
}

/// A clone of one handler for each who connects, and a queue and a task of tokio's.
pub struct Each<H> {
    handler: H,
    config: QueueConfig,
}

impl<H> Each<H> {
    /// Bounds of `config` for each queue.
    ///
    /// ```
    /// use kyneta_uds_negotiate::Each;
    /// use kyneta_uds_queue::QueueConfig;
    /// use tower::service_fn;
    ///
    /// let ignore = service_fn(async |_: u32| Ok::<(), std::convert::Infallible>(()));
    /// let each = Each::new(ignore, QueueConfig::default().max_messages(64));
    /// ```
    pub fn new(handler: H, config: QueueConfig) -> Self {
        Self {
            handler,
            config: for_members(config),
        }
    }
}

/// A queue of one of many cannot fail a message: whoever sent it would not learn whose copy is
/// missing. It waits, and the queue above it fails.
pub fn for_members(config: QueueConfig) -> QueueConfig {
    match config.overflows() {
        Overflow::Fail => config.overflow(Overflow::Wait),
        _ => config,
    }
}

impl<C, E, M, H> Host<C, E, M> for Each<H>
where
    C: Channel<M, Future: Send> + Send + 'static,
    E: Into<BoxError>,
    M: Message,
    H: Service<M, Response = (), Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    fn attend(&self, channel: C) -> Handle<M> {
        let (handle, driver) = queue(channel, self.config.clone());
        tokio::spawn(driver.drive(self.handler.clone()));
        handle
    }

    fn not_attended(&self, error: E) {
        let error: BoxError = error.into();
        tracing::debug!(error = %Chain(&*error), "an accepted stream did not become a channel");
    }
}

impl<H: Clone> Clone for Each<H> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            config: self.config.clone(),
        }
    }
}

impl<H> fmt::Debug for Each<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
