//! What the ready-made parts have in common: settings, and the life of one connection.
//!
//! In: an established channel and a handler. Out: a [`Connection`] and events about it.

use std::sync::Arc;

use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason, Identity};
use kyneta_uds_establish::{EstablishLayer, Established, PeerInfo};
use kyneta_uds_queue::{Driver, Ended, QueueConfig, queue};

use crate::{
    connection::{Connection, WithSender},
    event::{EventSender, PeerChange},
    handler::Handler,
};

/// What a [`Server`](crate::Server) or [`Client`](crate::Client) is built from.
#[derive(Debug, Clone)]
pub(crate) struct Settings<S> {
    pub(crate) stack: S,
    pub(crate) establish: EstablishLayer,
    pub(crate) queue: QueueConfig,
}

impl<S> Settings<S> {
    pub(crate) fn new(stack: S) -> Self {
        Self {
            stack,
            establish: EstablishLayer::new(anonymous()),
            queue: QueueConfig::default(),
        }
    }

    pub(crate) fn stack<S2>(self, stack: S2) -> Settings<S2> {
        Settings {
            stack,
            establish: self.establish,
            queue: self.queue,
        }
    }
}

/// The setters that every builder over [`Settings`] has.
macro_rules! settings_setters {
    ($what:literal) => {
        #[doc = concat!("Who this ", $what, " is. A service with a made-up id by default.")]
        ///
        /// Takes the place of whatever [`establish`](Self::establish) was given.
        pub fn identity(mut self, identity: Identity) -> Self {
            self.settings.establish = EstablishLayer::new(identity);
            self
        }

        #[doc = concat!("Who this ", $what, " is, with features and timeouts.")]
        ///
        /// Takes the place of whatever [`identity`](Self::identity) was given.
        pub fn establish(mut self, layer: EstablishLayer) -> Self {
            self.settings.establish = layer;
            self
        }

        /// The bounds of each peer's queue. [`QueueConfig::default`] by default.
        pub fn queue(mut self, config: QueueConfig) -> Self {
            self.settings.queue = config;
            self
        }
    };
}
pub(crate) use settings_setters;

/// Who one is without having said so: a service that no other process and no other part of this
/// one is named after.
fn anonymous() -> Identity {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    match Identity::service(format!("service-{pid}-{count}")) {
        Ok(identity) => identity,
        // Thirty bytes are within every limit.
        Err(_) => unreachable!(),
    }
}

/// A connection that is known and not yet driven.
pub(crate) struct Session<C> {
    pub(crate) connection: Arc<Connection>,
    driver: Driver<Established<C>, ChannelMsg>,
    events: EventSender,
}

impl<C: Channel<ChannelMsg>> Session<C> {
    pub(crate) fn new(channel: Established<C>, config: &QueueConfig, events: &EventSender) -> Self {
        let peer = channel.peer().clone();
        let config = {
            let (peer, events) = (peer.clone(), events.clone());
            config
                .clone()
                .and_on_event(move |event| events.queue(&peer, event))
        };
        let (handle, driver) = queue(channel, config);
        let connection = Arc::new(Connection::new(handle, peer));
        Self {
            connection,
            driver,
            events: events.clone(),
        }
    }

    /// Says that the peer is there, drives the connection to its end, drops `present`, says that it
    /// is gone.
    pub(crate) async fn run(self, handler: impl Handler, present: impl Send) -> DisconnectReason {
        let mut gone = Gone {
            peer: self.connection.shared_peer().clone(),
            events: self.events,
            reason: DisconnectReason::error(Ended),
        };
        // Dropped before `gone`, also when the handler panics.
        let present = present;
        gone.events.peer(&gone.peer, PeerChange::Established);
        let handler = WithSender {
            handler,
            from: self.connection,
        };
        let reason = self.driver.drive(handler).await;
        gone.reason = reason.clone();
        drop(present);
        reason
    }
}

/// Says that a peer is gone, whatever ended its task.
struct Gone {
    peer: Arc<PeerInfo>,
    events: EventSender,
    reason: DisconnectReason,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let change = if self.peer.is_departing() {
            PeerChange::Departed
        } else {
            PeerChange::Disconnected(self.reason.clone())
        };
        self.events.peer(&self.peer, change);
    }
}
