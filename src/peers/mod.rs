//! The peers of a role: the table behind its lock, its events, its timer.
//!
//! In: connections that open and close. Out: events about their peers, and the connections by peer.
//! May touch: tokio's clock, in one task while a peer is absent.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{DisconnectReason, PeerId, ignore_poison};
use kyneta_uds_handshake::PeerInfo;
use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep_until},
};

mod table;

use self::table::{Change, ChangeKind, Config, Key, PeerTable};
#[cfg(feature = "status")]
use crate::status::About;
use crate::{
    connection::Connection,
    event::{Event, PeerChange},
    event_sender::EventSender,
};

/// The peers of a [`Server`](crate::Server), [`Client`](crate::Client) or [`Peer`](crate::Peer).
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    events: EventSender,
    presence: watch::Sender<Presence>,
    #[cfg(feature = "status")]
    about: About,
}

struct State {
    table: PeerTable<Arc<Connection>, Arc<PeerInfo>>,
    /// A task waits for the next departure.
    timer_runs: bool,
    /// Messages sent and received on connections that have ended.
    #[cfg(feature = "status")]
    ended_traffic: (u64, u64),
}

/// Whether there are connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// There was never one.
    Never,
    /// The number of connections.
    Connected(usize),
    /// When the last connection ended.
    Gone(Instant),
}

impl Peers {
    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    table: PeerTable::new(Config::default()),
                    timer_runs: false,
                    #[cfg(feature = "status")]
                    ended_traffic: (0, 0),
                }),
                events,
                presence: watch::Sender::new(Presence::Never),
                #[cfg(feature = "status")]
                about: About::default(),
            }),
        }
    }

    /// Sets this side's id and the departure timeout.
    pub(crate) fn configure(&self, own_id: PeerId, departure_timeout: Duration) {
        #[cfg(feature = "status")]
        self.about().is(own_id.clone());
        let config = Config {
            departure_timeout,
            own_id: Some(own_id),
            ..Config::default()
        };
        self.inner.state().table.configure(config);
    }

    #[cfg(feature = "status")]
    pub(crate) fn about(&self) -> &About {
        &self.inner.about
    }

    /// All connections, and the messages sent and received on those that have ended.
    #[cfg(feature = "status")]
    pub(crate) fn connections_and_ended_traffic(&self) -> (Vec<Connection>, (u64, u64)) {
        let state = self.inner.state();
        let present = state.table.connections().map(Connection::of).collect();
        (present, state.ended_traffic)
    }

    pub(crate) fn events(&self) -> &EventSender {
        &self.inner.events
    }

    /// Enters a connection that has completed its handshake, until the [`PeerEntry`] is dropped.
    pub(crate) fn enter(&self, connection: Arc<Connection>) -> PeerEntry {
        let peer = connection.shared_peer().clone();
        let id = peer.identity().peer_id.clone();
        let mut state = self.inner.state();
        let (key, changes) =
            state
                .table
                .opened(&id, peer, connection.clone(), Instant::now().into_std());
        self.inner.report(&mut state, changes, None);
        PeerEntry {
            peers: self.clone(),
            connection,
            key: Some(key),
        }
    }

    /// The latest connection of a peer.
    pub(crate) fn connection(&self, id: &PeerId) -> Option<Connection> {
        let state = self.inner.state();
        state.table.connection(id).map(Connection::of)
    }

    /// All connections of a peer, the latest last.
    fn connections_of(&self, id: &PeerId) -> Vec<Connection> {
        let state = self.inner.state();
        state.table.connections_of(id).map(Connection::of).collect()
    }

    /// All connections, in no particular order.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let state = self.inner.state();
        state.table.connections().map(Connection::of).collect()
    }

    /// Disposes of all connections of a peer. `None` when there is none; else the latest one's end.
    pub(crate) async fn disconnect(&self, id: &PeerId) -> Option<DisconnectReason> {
        let connections = self.connections_of(id);
        let reasons = join_all(connections.iter().map(Connection::dispose)).await;
        reasons.into_iter().next_back()
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.inner.state().table.connection_count()
    }

    pub(crate) fn is_present(&self, id: &PeerId) -> bool {
        self.inner.state().table.is_present(id)
    }

    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.inner.presence.subscribe()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    /// Reports changes, in the order of the lock. `reason` is why a connection has closed.
    fn report(
        self: &Arc<Self>,
        state: &mut State,
        changes: Vec<Change<Arc<PeerInfo>>>,
        reason: Option<DisconnectReason>,
    ) {
        for Change { peer, kind } in changes {
            let change = match kind {
                ChangeKind::Established => PeerChange::Established,
                ChangeKind::Reconnected => PeerChange::Reconnected,
                ChangeKind::Departed => PeerChange::Departed,
                ChangeKind::Disconnected => PeerChange::Disconnected(
                    reason.clone().unwrap_or(DisconnectReason::Intentional),
                ),
                ChangeKind::Duplicate => {
                    self.events.send(Event::DuplicatePeer { peer });
                    continue;
                }
                ChangeKind::SelfConnection => {
                    self.events.send(Event::SelfConnection { peer });
                    continue;
                }
            };
            self.events.peer(&peer, change);
        }
        let count = state.table.connection_count();
        self.presence.send_if_modified(|presence| {
            let now = match (count, *presence) {
                (0, Presence::Connected(_)) => Presence::Gone(Instant::now()),
                (0, presence) => presence,
                (count, _) => Presence::Connected(count),
            };
            std::mem::replace(presence, now) != now
        });
        if !state.timer_runs && state.table.next_deadline().is_some() {
            self.wait_for_departures(state);
        }
    }

    /// Starts the task that reports peers that do not return. It keeps no `Peers` alive.
    fn wait_for_departures(self: &Arc<Self>, state: &mut State) {
        // After the end of the runtime no task reads events.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        state.timer_runs = true;
        let peers = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(deadline) = next_departure(&peers) {
                sleep_until(deadline).await;
            }
        });
    }
}

/// Reports the peers that have departed by now; `None` when no peer is absent any more.
fn next_departure(peers: &Weak<Inner>) -> Option<Instant> {
    let inner = peers.upgrade()?;
    let mut state = inner.state();
    // Still set while reporting, so that no second task is started.
    let changes = state.table.tick(Instant::now().into_std());
    inner.report(&mut state, changes, None);
    let deadline = state.table.next_deadline();
    state.timer_runs = deadline.is_some();
    deadline.map(Instant::from_std)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("presence", &*self.presence.borrow())
            .finish_non_exhaustive()
    }
}

/// A connection's entry; dropping it removes it.
#[derive(Debug)]
pub(crate) struct PeerEntry {
    peers: Peers,
    connection: Arc<Connection>,
    key: Option<Key>,
}

impl PeerEntry {
    /// The connection has ended. Later calls have no effect.
    pub(crate) fn leave(&mut self, reason: DisconnectReason) {
        let Some(key) = self.key.take() else { return };
        let peer = self.connection.peer();
        let inner = &self.peers.inner;
        let mut state = inner.state();
        self.connection.ended(reason.clone());
        #[cfg(feature = "status")]
        {
            let traffic = self.connection.traffic();
            state.ended_traffic.0 += traffic.sent(self.connection.handle());
            state.ended_traffic.1 += traffic.received();
        }
        let now = Instant::now().into_std();
        let id = &peer.identity().peer_id;
        let changes = state.table.closed(id, key, peer.is_departing(), now);
        inner.report(&mut state, changes, Some(reason));
    }
}

impl Drop for PeerEntry {
    fn drop(&mut self) {
        self.leave(DisconnectReason::Intentional);
    }
}
