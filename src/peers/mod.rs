//! The peers of a role: the table behind its lock, its events, its timer.
//!
//! In: connections that open and close. Out: events about their peers, and the connections by peer.
//! May touch: tokio's clock, in one task while a peer is absent.
//!
//! No code of the user runs under the lock: events are said under it, in its order, and sent after it; what waits is woken
//! after it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use kyneta_uds_core::{
    ChannelMsg, Credentials, DisconnectReason, PeerId, ignore_poison, undisturbed,
};
use kyneta_uds_handshake::PeerInfo;
use kyneta_uds_queue::Handle;
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
    bus::Introduction,
    connection::Connection,
    event::{Event, PeerChange},
    event_sender::EventSender,
    owners::Owners,
};

/// The peers of a [`Server`](crate::Server), [`Client`](crate::Client) or [`Peer`](crate::Peer).
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    events: EventSender,
    /// What the state has, for those that wait.
    presence: watch::Sender<Presence>,
    #[cfg(feature = "status")]
    about: About,
}

struct State {
    table: PeerTable<Arc<Connection>, Arc<PeerInfo>>,
    /// Absent where an id may be used by any user.
    owners: Option<Owners>,
    /// A task waits for the next departure.
    timer_runs: bool,
    presence: Presence,
    /// Messages sent and received on connections that have ended.
    #[cfg(feature = "status")]
    ended_traffic: (u64, u64),
}

fn introduction(connection: &Connection) -> Introduction {
    let (peer, of) = (
        connection.peer().identity(),
        connection.peer().credentials(),
    );
    #[cfg(feature = "status")]
    let since_ms = u64::try_from(connection.traffic().age().as_millis()).ok();
    #[cfg(not(feature = "status"))]
    let since_ms = None;
    Introduction {
        id: peer.peer_id.as_str().to_owned(),
        inc: 0,
        name: peer.name.as_ref().map(|name| name.as_str().to_owned()),
        kind: peer.peer_type.name().to_owned(),
        pid: of.and_then(|of| of.pid),
        uid: of.map(|of| of.uid),
        since_ms,
        waits: u64::try_from(connection.handle().queued().0).ok(),
        machine: None,
    }
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

/// A process claims an id that a process of another user has used before. It is disconnected, unless
/// [`shared_ids`](crate::Builder::shared_ids) allows it. The error of [`Event::NotEstablished`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id {peer_id:?} belongs to uid {owner}, and a process of {credentials} claims it")]
#[non_exhaustive]
pub struct IdOfAnotherUser {
    /// The id.
    pub peer_id: PeerId,
    /// The user that has used it first.
    pub owner: u32,
    /// The process that was disconnected.
    pub credentials: Credentials,
}

impl Peers {
    pub(crate) fn new(events: EventSender) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    table: PeerTable::new(Config::default()),
                    owners: None,
                    timer_runs: false,
                    presence: Presence::Never,
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

    /// From now on, an id belongs to the user that has used it first.
    pub(crate) fn bind_ids(&self) {
        self.inner.state().owners.get_or_insert_default();
    }

    /// Sets this side's id and the departure timeout.
    pub(crate) fn configure(&self, own_id: PeerId, departure_timeout: Duration) {
        #[cfg(feature = "status")]
        self.about().is(own_id.clone());
        self.inner.events.observers().of(own_id.clone());
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

    /// Whether a peer may use its id.
    pub(crate) fn check_owner(&self, peer: &PeerInfo) -> Result<(), IdOfAnotherUser> {
        self.inner.state().check_owner(peer)
    }

    /// Enters an accepted connection, unless its id belongs to another user: in what is sent to all by `enter`, and
    /// only then where it can be seen.
    pub(crate) fn enter_accepted(
        &self,
        connection: Arc<Connection>,
        enter: impl FnOnce(Handle<ChannelMsg>),
    ) -> Result<PeerEntry, IdOfAnotherUser> {
        self.check_owner(connection.peer())?;
        enter(connection.handle().clone());
        let mut state = self.inner.state();
        // Another user may have entered with it meanwhile.
        state.check_owner(connection.peer())?;
        let entry = self.enter_state(&mut state, connection);
        drop(state);
        self.inner.tell();
        Ok(entry)
    }

    /// Enters a connection that has completed its handshake, until the [`PeerEntry`] is dropped.
    pub(crate) fn enter(&self, connection: Arc<Connection>) -> PeerEntry {
        let entry = self.enter_state(&mut self.inner.state(), connection);
        self.inner.tell();
        entry
    }

    fn enter_state(&self, state: &mut State, connection: Arc<Connection>) -> PeerEntry {
        let peer = connection.shared_peer().clone();
        let id = peer.identity().peer_id.clone();
        let (key, changes) =
            state
                .table
                .opened(&id, peer, connection.clone(), Instant::now().into_std());
        self.inner.note(state, changes, None);
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

    /// The connected peers, as an observer is told of them, by id.
    pub(crate) fn introductions(&self) -> Vec<Introduction> {
        let mut members: Vec<_> = self.connections().iter().map(introduction).collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        members
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.inner.state().table.connection_count()
    }

    pub(crate) fn is_present(&self, id: &PeerId) -> bool {
        self.inner.state().table.is_present(id)
    }

    pub(crate) fn present(&self) -> Presence {
        self.inner.state().presence
    }

    /// The same, to wait for. It changes a moment after [`present`](Self::present).
    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.inner.presence.subscribe()
    }
}

impl State {
    fn check_owner(&self, peer: &PeerInfo) -> Result<(), IdOfAnotherUser> {
        let Some((owners, credentials)) = self.owners.as_ref().zip(peer.credentials()) else {
            return Ok(());
        };
        let id = &peer.identity().peer_id;
        let owner = match self.table.known(id) {
            Some(known) => known.credentials().map(|of| of.uid),
            None => owners.uid(id),
        };
        match owner {
            Some(owner) if owner != credentials.uid => Err(IdOfAnotherUser {
                peer_id: id.clone(),
                owner,
                credentials,
            }),
            _ => Ok(()),
        }
    }

    fn departed(&mut self, peer: &PeerInfo) {
        if let Some(owners) = &mut self.owners
            && let Some(credentials) = peer.credentials()
        {
            owners.departed(&peer.identity().peer_id, credentials.uid);
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    /// Notes changes, in the order of the lock, for [`tell`](Self::tell). `reason` is why a connection has closed.
    fn note(
        &self,
        state: &mut State,
        changes: Vec<Change<Arc<PeerInfo>>>,
        reason: Option<&DisconnectReason>,
    ) {
        for Change { peer, kind } in changes {
            let change = match kind {
                ChangeKind::Established => PeerChange::Established,
                ChangeKind::Reconnected => PeerChange::Reconnected,
                ChangeKind::Departed => {
                    state.departed(&peer);
                    PeerChange::Departed
                }
                ChangeKind::Disconnected => PeerChange::Disconnected(
                    reason.cloned().unwrap_or(DisconnectReason::Intentional),
                ),
                ChangeKind::Duplicate => {
                    self.events.say(Event::DuplicatePeer { peer });
                    continue;
                }
                ChangeKind::SelfConnection => {
                    self.events.say(Event::SelfConnection { peer });
                    continue;
                }
            };
            self.events.say(Event::Peer { peer, change });
        }
        let count = state.table.connection_count();
        state.presence = match (count, state.presence) {
            (0, Presence::Connected(_)) => Presence::Gone(Instant::now()),
            (0, presence) => presence,
            (count, _) => Presence::Connected(count),
        };
    }

    /// Tells what was noted. It may run code of the user, so it is to be called under no lock.
    fn tell(self: &Arc<Self>) {
        undisturbed(|| {
            self.presence.send_if_modified(|told| {
                // The latest, whichever thread comes last.
                let now = self.state().presence;
                std::mem::replace(told, now) != now
            });
        });
        self.events.send_said();
        self.wait_for_departures();
    }

    /// Starts the task that reports peers that do not return, if one is to run. It keeps no `Peers` alive.
    fn wait_for_departures(self: &Arc<Self>) {
        // After the end of the runtime no task reads events.
        let Ok(runtime) = runtime::Handle::try_current() else {
            return;
        };
        {
            let mut state = self.state();
            if state.timer_runs || state.table.next_deadline().is_none() {
                return;
            }
            state.timer_runs = true;
        }
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
    let deadline = {
        let mut state = inner.state();
        let changes = state.table.tick(Instant::now().into_std());
        inner.note(&mut state, changes, None);
        let deadline = state.table.next_deadline();
        state.timer_runs = deadline.is_some();
        deadline
    };
    inner.tell();
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
        {
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
            inner.note(&mut state, changes, Some(&reason));
        }
        undisturbed(|| self.connection.wake());
        inner.tell();
    }
}

impl Drop for PeerEntry {
    fn drop(&mut self) {
        self.leave(DisconnectReason::Intentional);
    }
}
