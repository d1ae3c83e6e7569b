//! The builder of all roles.
//!
//! In: settings, one by one. Out: the same, for the role that is made from them. Touches nothing.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kyneta_uds_core::{ChannelMsg, Identity};
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::HandshakeLayer;
use kyneta_uds_queue::{Budget, Overflow, QueueConfig};
use kyneta_uds_unix::{AccessPolicy, ListenerOptions};

use crate::{
    event_sender::{EventSender, Events, LOG_LINES},
    peers::Peers,
    relay::Relay,
    stack::{DefaultStack, MakeChannel, default_stack},
};

/// The settings of a role, before it starts. A [`ServerBuilder`](crate::ServerBuilder),
/// [`ClientBuilder`](crate::ClientBuilder), [`PeerBuilder`](crate::PeerBuilder) and
/// [`Serve`](crate::Serve) are one each: `R` holds the settings of that role alone, `S` is the stack.
///
/// A clone makes another server, client or peer, with events of its own.
#[must_use = "a builder does nothing until it listens, connects, joins or is awaited"]
#[derive(Debug)]
pub struct Builder<R, S = DefaultStack> {
    pub(crate) role: R,
    pub(crate) stack: S,
    pub(crate) settings: Settings,
}

/// The settings whose types are the same for every role.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) handshake: HandshakeLayer,
    pub(crate) queue: QueueConfig,
    departure_timeout: Duration,
    log_lines: u32,
    pub(crate) events: EventSender,
    pub(crate) listener: ListenerOptions,
    pub(crate) allow_listener: Option<AccessPolicy>,
    pub(crate) relay: Relay,
    shared_ids: bool,
    pub(crate) handoff: Option<crate::handoff::Handoff>,
}

/// A role that listens, on a path or a listener: a server's or a peer's settings, or those of [`Serve`](crate::Serve).
pub trait Listens {}

/// A role that binds its path: a server's or a peer's settings.
pub trait Binds: Listens {}

/// A role that connects: a client's or a peer's settings.
pub trait Connects {}

impl<R: Clone, S: Clone> Clone for Builder<R, S> {
    fn clone(&self) -> Self {
        Self {
            role: self.role.clone(),
            stack: self.stack.clone(),
            settings: Settings {
                events: EventSender::new(),
                ..self.settings.clone()
            },
        }
    }
}

impl<R> Builder<R> {
    pub(crate) fn new(role: R) -> Self {
        Self {
            role,
            stack: default_stack(WireMode::Auto),
            settings: Settings {
                handshake: HandshakeLayer::new(anonymous()),
                queue: QueueConfig::default(),
                departure_timeout: Duration::from_secs(30),
                log_lines: LOG_LINES,
                events: EventSender::new(),
                listener: ListenerOptions::new(),
                allow_listener: None,
                relay: Relay::default(),
                shared_ids: false,
                handoff: None,
            },
        }
    }
}

impl<R: Listens> Builder<R> {
    /// With a queue for each peer in which one that does not read delays the others once, and not for ever.
    pub(crate) fn listening(role: R) -> Self {
        Self::new(role).queue(QueueConfig::default().overflow(Overflow::Disconnect {
            after: Duration::from_secs(5),
        }))
    }
}

impl<R, S> Builder<R, S> {
    /// The identity that this side sends in the handshake. A service with a generated id by default.
    ///
    /// The other settings of [`handshake`](Self::handshake) stay.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.settings.handshake = self.settings.handshake.identity(identity);
        self
    }

    /// The handshake: identity, features, timeouts, which peers are admitted.
    ///
    /// Replaces all of these settings, the [`identity`](Self::identity) too.
    pub fn handshake(mut self, layer: HandshakeLayer) -> Self {
        self.settings.handshake = layer;
        self
    }

    /// The bounds of each peer's queue. [`QueueConfig::default`] by default (where a role listens, a process
    /// that does not read for 5 s is disconnected), with one [`Budget::default`](crate::Budget) for all
    /// queues together; a configuration without a budget gets that one.
    pub fn queue(mut self, config: QueueConfig) -> Self {
        self.settings.queue = config;
        self
    }

    /// How long a peer that disconnected without a `depart` may be absent and still be the same when
    /// it returns. 30 s by default; with zero it departs at once.
    pub fn departure_timeout(mut self, timeout: Duration) -> Self {
        self.settings.departure_timeout = timeout;
        self
    }

    /// The maximum of log lines a minute about peers that connect and disconnect. 600 by default; the
    /// next line says how many were left out. The events are not limited.
    pub fn log_lines(mut self, per_minute: u32) -> Self {
        self.settings.log_lines = per_minute;
        self
    }

    /// A stack of your own below the handshake, for the connections that this side makes and for those
    /// that it accepts. [`default_stack`] by default.
    ///
    /// A [`Peer`](crate::Peer) whose connector hides the listener's credentials (a
    /// `HyperlocalConnector`) cannot tell listeners apart: it takes
    /// `allow_listener(AccessPolicy::anyone())`.
    pub fn stack<S2: MakeChannel<In = ChannelMsg>>(self, stack: S2) -> Builder<R, S2> {
        Builder {
            role: self.role,
            stack,
            settings: self.settings,
        }
    }

    /// The events from the start on.
    pub fn events(&self) -> Events {
        self.settings.events.subscribe()
    }
}

impl<R: Binds, S> Builder<R, S> {
    /// The mode of the socket file, which processes may connect, and how many.
    /// [`ListenerOptions::new`] by default.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.settings.listener = options;
        self
    }
}

impl<R: Listens, S> Builder<R, S> {
    /// Whether processes of several users may use the same peer id. By default an id belongs to the user (the uid)
    /// that has used it first, for as long as the listener lives: a process of another user is disconnected, with
    /// [`Event::NotEstablished`](crate::Event::NotEstablished) and [`IdOfAnotherUser`](crate::IdOfAnotherUser). Of
    /// peers that have departed the last 8,192 ids are known.
    pub fn shared_ids(mut self, shared: bool) -> Self {
        self.settings.shared_ids = shared;
        self
    }

    /// What is passed between the members of the listener: documents by default; nothing with `false`. The
    /// handler is called with each received message in any case, and what local code sends goes where it went
    /// before. See [the guide](crate::guide::hub).
    pub fn relay(mut self, relay: impl Into<Relay>) -> Self {
        self.settings.relay = relay.into();
        self
    }
}

impl<R: Connects, S> Builder<R, S> {
    /// Which listeners to connect to. By default a client connects to any; with
    /// [`AccessPolicy::same_uid`] it does not talk to a socket that another user has bound at the path. A peer
    /// connects by default to those that the [`listener`](crate::PeerBuilder::listener) options let in:
    /// the members of a group allow each other. Another listener at the path is
    /// [`Event::InTheWay`](crate::Event::InTheWay) for a peer.
    pub fn allow_listener(mut self, allow: AccessPolicy) -> Self {
        self.settings.allow_listener = Some(allow);
        self
    }
}

impl Settings {
    /// Configures the peers of the role, and the budget that its queues share.
    pub(crate) fn configure(&mut self, peers: &Peers) {
        if self.queue.shared_budget().is_none() {
            // Here and not in `new`: a clone of a builder makes another server.
            self.queue = self.queue.clone().budget(Budget::default());
        }
        if !self.shared_ids {
            peers.bind_ids();
        }
        peers.events().log_lines(self.log_lines);
        self.handshake = self.handshake.clone().observable();
        let own_id = self.handshake.establish().identity.peer_id.clone();
        peers.configure(own_id, self.departure_timeout);
    }
}

/// A service whose id is unique in this process and among the processes that exist.
pub(crate) fn anonymous() -> Identity {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    match Identity::service(format!("service-{pid}-{count}")) {
        Ok(identity) => identity,
        // Thirty bytes are within every limit.
        Err(_) => unreachable!(),
    }
}
