//! What the ready-made parts have in common: settings, and the life of one connection.
//!
//! In: settings; an established channel and a handler. Out: a [`Connection`], and its end.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use kyneta_uds_core::{Channel, ChannelMsg, DisconnectReason, Identity};
use kyneta_uds_handshake::{Established, HandshakeLayer};
use kyneta_uds_queue::{Budget, Driver, Ended, QueueConfig, queue};
use tracing::{Instrument as _, Span, field::debug};

use crate::{
    connection::{Connection, WithSender},
    event::{EventSender, LOG_LINES},
    handler::Handler,
    peers::{PeerEntry, Peers},
};

/// What a [`Server`](crate::Server) or [`Client`](crate::Client) is built from.
#[derive(Debug, Clone)]
pub(crate) struct Settings<S> {
    pub(crate) stack: S,
    pub(crate) handshake: HandshakeLayer,
    pub(crate) queue: QueueConfig,
    pub(crate) departure_timeout: Duration,
    pub(crate) log_lines: u32,
}

impl<S> Settings<S> {
    pub(crate) fn new(stack: S) -> Self {
        Self {
            stack,
            handshake: HandshakeLayer::new(anonymous()),
            queue: QueueConfig::default(),
            departure_timeout: Duration::from_secs(30),
            log_lines: LOG_LINES,
        }
    }

    pub(crate) fn stack<S2>(self, stack: S2) -> Settings<S2> {
        Settings {
            stack,
            handshake: self.handshake,
            queue: self.queue,
            departure_timeout: self.departure_timeout,
            log_lines: self.log_lines,
        }
    }

    /// Who this side is, for those who keep count of the others; and what its queues share.
    pub(crate) fn introduce(&mut self, peers: &Peers) {
        if self.queue.shared_budget().is_none() {
            // Here and not from the start: a clone of a builder makes another server.
            self.queue = self.queue.clone().budget(Budget::default());
        }
        peers.events().log_lines(self.log_lines);
        let own_id = self.handshake.introduction().identity.peer_id.clone();
        peers.configure(own_id, self.departure_timeout);
    }
}

/// The setters that every builder over [`Settings`] has.
macro_rules! settings_setters {
    ($what:literal) => {
        #[doc = concat!("Who this ", $what, " is. A service with a made-up id by default.")]
        ///
        /// Every other setting of [`handshake`](Self::handshake) stays.
        pub fn identity(mut self, identity: Identity) -> Self {
            self.settings.handshake = self.settings.handshake.identity(identity);
            self
        }

        #[doc = concat!("Who this ", $what, " is, with features and timeouts.")]
        ///
        /// Replaces all of these settings, the [`identity`](Self::identity) too.
        pub fn handshake(mut self, layer: HandshakeLayer) -> Self {
            self.settings.handshake = layer;
            self
        }

        /// The bounds of each peer's queue. [`QueueConfig::default`] by default, with a
        /// [`Budget::default`](crate::Budget) for all of them together; a configuration without a
        /// budget gets that one.
        pub fn queue(mut self, config: QueueConfig) -> Self {
            self.settings.queue = config;
            self
        }

        /// How long a peer that has gone without a `depart` may be away and still be the same when
        /// it comes back. 30 s by default; zero is no grace.
        pub fn departure_timeout(mut self, timeout: Duration) -> Self {
            self.settings.departure_timeout = timeout;
            self
        }

        /// How many log lines a minute are written of peers that come and go. 600 by default; the line
        /// after says how many were left out. Each is an event all the same.
        pub fn log_lines(mut self, per_minute: u32) -> Self {
            self.settings.log_lines = per_minute;
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

/// A connection that was accepted, and is not driven yet.
pub(crate) struct ConnectionTask<C> {
    pub(crate) connection: Arc<Connection>,
    driver: Driver<Established<C>, ChannelMsg>,
}

impl<C: Channel<ChannelMsg>> ConnectionTask<C> {
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
        Self { connection, driver }
    }

    /// Has a task drive the connection to its end, let its peer leave, and then let go of `held`. In
    /// the present span, if there is one: where nobody collects spans an idle connection holds none.
    pub(crate) fn spawn(self, handler: impl Handler, entry: PeerEntry, held: impl Send + 'static)
    where
        C: Send + 'static,
        C::Future: Send,
    {
        let span = Span::current();
        // Quoted: it is what a stranger says, line breaks and all.
        span.record("peer", debug(self.connection.peer_id()));
        span.record("wire", self.connection.peer().wire().byte());
        let run = self.run(handler, entry, held);
        if span.is_disabled() {
            tokio::spawn(run);
        } else {
            tokio::spawn(run.instrument(span));
        }
    }

    /// Not an `async fn`: that would hold the connection once for each name that it bears on its way,
    /// and an idle connection consists of little else.
    fn run<K>(self, handler: impl Handler, entry: PeerEntry, held: K) -> impl Future<Output = ()> {
        let mut leaving = Leaving {
            entry,
            _held: held,
            // Unless it comes to its end.
            reason: DisconnectReason::error(Ended),
        };
        let handler = WithSender {
            handler,
            from: self.connection,
        };
        self.driver.drive(handler).map(move |reason| {
            // All of it moves in here, not its field alone: it leaves when it is dropped.
            let leaving = &mut leaving;
            leaving.reason = reason;
        })
    }
}

/// Lets a peer leave, whatever ended its task.
struct Leaving<K> {
    entry: PeerEntry,
    _held: K,
    reason: DisconnectReason,
}

impl<K> Drop for Leaving<K> {
    fn drop(&mut self) {
        self.entry.leave(self.reason.clone());
    }
}
