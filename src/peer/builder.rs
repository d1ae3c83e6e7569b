//! How a peer joins a path.
//!
//! In: settings, a handler; what a predecessor has handed over. Out: a [`Peer`], whose tasks run. May
//! touch: the path, tasks of tokio's.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::{ChannelMsg, SocketPath, SocketPathError};
use kyneta_uds_negotiate::{NegotiateLayer, for_members};
use kyneta_uds_unix::AuthorizeLayer;
use tokio::sync::{Mutex, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceExt as _, make::Shared};
use tower_layer::Layer as _;

use super::{Guard, JoinError, Peer};
#[cfg(target_os = "linux")]
use crate::handoff::{Members, PeerHandoffs, WhileListening as _};
use crate::{
    accept_handler::RoleAcceptHandler,
    builder::{Binds, Builder, Connects, Listens, Settings},
    dialed::Dialed,
    handler::Handler,
    handoff::TakenRole,
    make_peer_channel::MakePeerChannel,
    peers::Peers,
    stack::{DefaultStack, MakeChannel},
};

/// The settings of a [`Peer`]. See [`Builder`].
pub type PeerBuilder<S = DefaultStack> = Builder<PeerOptions, S>;

/// The settings that a peer alone has.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    pub(crate) path: Result<SocketPath, SocketPathError>,
    regroup: Duration,
    pub(crate) join_timeout: Option<Duration>,
    #[cfg(feature = "machines")]
    machines: Option<crate::machines::Machines>,
}

impl Listens for PeerOptions {}
impl Binds for PeerOptions {}
impl Connects for PeerOptions {}

impl Peer {
    /// A peer at `path`.
    pub fn builder<P>(path: P) -> PeerBuilder
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        Builder::listening(PeerOptions {
            path: path.try_into().map_err(SocketPathError::from),
            regroup: Duration::from_secs(5),
            join_timeout: Some(Duration::from_secs(30)),
            #[cfg(feature = "machines")]
            machines: None,
        })
    }
}

impl<S> PeerBuilder<S> {
    /// How long a listener without connections keeps messages to all peers after the last peer
    /// disconnected: after a change of listener the others take a moment to connect. Later, before the
    /// first peer, and while it leaves, such messages are dropped and count as sent, and as
    /// [`unheard`](crate::Counts::unheard). 5 s by default.
    pub fn regroup(mut self, regroup: Duration) -> Self {
        self.role.regroup = regroup;
        self
    }

    /// How long [`join`](Self::join) tries before it fails with [`JoinError::TimedOut`]; `None`: without
    /// limit. 30 s by default. A peer that has joined and loses its role tries without limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kyneta_uds::Peer;
    ///
    /// let unlimited = Peer::builder("/run/app/bus.sock").join_timeout(None);
    /// let short = Peer::builder("/run/app/bus.sock").join_timeout(Duration::from_secs(3));
    /// ```
    pub fn join_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.role.join_timeout = timeout.into();
        self
    }
}

#[cfg(feature = "machines")]
impl<S> PeerBuilder<S> {
    /// Links to other machines, while this peer listens: the documents of the members pass between the machines. None by
    /// default. It needs the [relay](Self::relay). See [`machines`](crate::machines).
    pub fn machines(mut self, machines: crate::machines::Machines) -> Self {
        self.role.machines = Some(machines);
        self
    }
}

impl<S: MakeChannel<In = ChannelMsg>> PeerBuilder<S> {
    /// Joins the group at the path; ready when there is a role: connected to the listener, or listening.
    /// Each connection gets a clone of `handler`, called with one message after the other.
    ///
    /// If a process listens and does not answer, it waits as long as the
    /// [`join_timeout`](Self::join_timeout) allows. [`Event::Waiting`](crate::Event::Waiting) and the log say why.
    ///
    /// Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`JoinError`], with the path: not permitted, not a socket, no directory; no role in time; a
    /// handler whose `poll_ready` fails.
    pub async fn join(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        let limit = self.role.join_timeout;
        let peer = self.join_lazy(handler).await?;
        peer.joined_within(limit).await
    }

    /// As [`join`](Self::join), without waiting for a role: messages wait for it in the queue, and
    /// [`Peer::joined`] waits for it. The [`join_timeout`](Self::join_timeout) does not apply.
    ///
    /// ```
    /// use kyneta_uds::{Incoming, Peer, Role};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// let ignore = service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
    /// let peer = Peer::builder(&path).join_lazy(ignore).await?;
    /// assert_eq!(peer.joined().await?, Role::Listener);
    /// # peer.dispose().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JoinError::Path`]: no socket can have this path.
    pub async fn join_lazy(self, handler: impl Handler + Clone) -> Result<Peer, JoinError> {
        self.join_as(handler, None).await
    }

    /// As [`join_lazy`](Self::join_lazy); the listener at once with what was taken over.
    pub(crate) async fn join_as(
        mut self,
        handler: impl Handler + Clone,
        taken: Option<TakenRole<S::Channel>>,
    ) -> Result<Peer, JoinError> {
        #[cfg(feature = "machines")]
        let machines = self.role.machines.take();
        let PeerOptions { path, regroup, .. } = self.role;
        let path = path?;
        let peers = Peers::new(self.settings.events.clone());
        self.settings.configure(&peers);
        #[cfg(feature = "status")]
        peers.about().at(path.clone());
        let Settings {
            handshake,
            queue: config,
            listener,
            allow_listener,
            relay,
            handoff,
            ..
        } = self.settings;
        let hub = relay.hub(peers.events());
        let allow_listener = allow_listener.unwrap_or_else(|| listener.allows().clone());
        let (dialed, driver) = Dialed::new(peers.clone(), config.clone());
        let policy = handoff.as_ref().map(|handoff| handoff.policy);
        let tasks = TaskTracker::new();
        let accept_handler = RoleAcceptHandler {
            handoff,
            make: Shared::new(handler.clone()),
            hub: hub.clone(),
            member: None,
            queue: for_members(config),
            peers: peers.clone(),
            tasks: tasks.clone(),
            disposing: CancellationToken::new(),
        };
        let negotiate = NegotiateLayer::with_accept_handler(accept_handler.clone())
            .listener(listener)
            .allow_listener(allow_listener.clone())
            .regroup(regroup);
        let roles = negotiate.role_watch();
        #[cfg(feature = "machines")]
        let links = machines.zip(hub.clone()).map(|(machines, hub)| {
            let side = crate::machines::Side::Documents(hub, peers.events().clone());
            machines.start(side, roles.clone())
        });
        let maker = MakePeerChannel::new(
            handshake.layer(AuthorizeLayer::new(allow_listener).layer(self.stack)),
            dialed.clone(),
        );
        let negotiate = negotiate.layer(maker);
        let (channel, offering) = match taken {
            Some(taken) => {
                let (listener, offering, members) = taken.go_on(accept_handler).await;
                let channel = negotiate.resume(path.clone(), listener, members);
                (channel, offering)
            }
            None => {
                let Ok(channel) = negotiate.oneshot(path.clone()).await;
                (channel, None)
            }
        };
        let handle = dialed.handle().clone();
        let handing_over = Arc::<Mutex<()>>::default();
        let (offered, is_offered) = watch::channel(false);
        #[cfg(target_os = "linux")]
        PeerHandoffs {
            path: path.clone(),
            roles: roles.clone(),
            handle: handle.clone(),
            members: Members {
                peers: peers.clone(),
                hub: hub.clone(),
            },
            tasks,
            at_work: handing_over.clone(),
            offered,
        }
        .start(policy, offering);
        #[cfg(not(target_os = "linux"))]
        let _ = (policy, offering, tasks, offered);
        let peer = Peer {
            handle: handle.clone(),
            guard: Arc::new(Guard {
                handle,
                path,
                roles,
                peers,
                regroup,
                hub,
                handing_over,
                offered: is_offered,
                #[cfg(feature = "machines")]
                links,
            }),
        };
        let handler = dialed.handler(handler);
        tokio::spawn(dialed.in_span(driver.drive_looking(channel, handler)));
        Ok(peer)
    }
}
