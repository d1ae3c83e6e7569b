//! The peers by id: connected, absent, departed.
//!
//! In: channels that were established and that closed, and the time. Out: [`Change`]s to report, and
//! the connections of a peer. Touches nothing: no clock, no I/O, no lock.
//!
//! A peer is connected while it has a channel. Without one it is absent, and after the departure
//! timeout it has departed and is unknown again. Every input carries the time and first handles the
//! departures that are due, so the answers do not depend on how promptly [`tick`](PeerTable::tick) is
//! called.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use kyneta_uds_core::PeerId;

#[cfg(test)]
mod tests;

/// The limits for absent peers.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// How long a peer may be absent and still be the same one when it returns. 30 s by default;
    /// with zero a peer departs with its last channel.
    pub(crate) departure_timeout: Duration,
    /// How many peers may be absent at once; beyond that the one absent longest departs at once, so
    /// that a flood of ids uses no more memory. 1,024 by default.
    pub(crate) max_absent: usize,
    /// This side's id, to notice a channel from this process to itself. Unknown by default.
    pub(crate) own_id: Option<PeerId>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            departure_timeout: Duration::from_secs(30),
            max_absent: 1024,
            own_id: None,
        }
    }
}

/// What has changed about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change<P> {
    /// The peer as described when the channel concerned opened; for a departure after the timeout,
    /// when its last channel did.
    pub(crate) peer: P,
    pub(crate) kind: ChangeKind,
}

/// How a peer's state has changed. The last two are diagnostics: they follow another change, and the
/// channel is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// A peer that was unknown, or had departed, is connected.
    Established,
    /// A peer that was absent is connected again.
    Reconnected,
    /// Its last channel has closed; it may return.
    Disconnected,
    /// It left on purpose, or was absent for the departure timeout.
    Departed,
    /// Another channel of a peer that is connected.
    Duplicate,
    /// The peer has this side's own id.
    SelfConnection,
}

/// An open channel's entry. It cannot be cloned and [`closed`](PeerTable::closed) consumes it, so none is
/// closed twice. Without the peer's id: every idle connection holds one.
#[derive(Debug)]
#[must_use = "the peer counts as connected until `closed` gets it"]
pub(crate) struct Key(u64);

/// The peers of a bus. `C` is kept while a connection exists; `P` describes the peer. They are two
/// because `P` outlives the connection by the departure timeout, and `C`, which holds buffers, must not.
#[derive(Debug)]
pub(crate) struct PeerTable<C, P> {
    config: Config,
    peers: HashMap<PeerId, PeerState<C, P>>,
    /// The one absent longest first. An ordered map and not a queue: a peer that returns is removed
    /// from the middle.
    absent: BTreeMap<Absence, (PeerId, P)>,
    connections: usize,
    next_number: u64,
}

#[derive(Debug)]
enum PeerState<C, P> {
    Connected {
        /// The latest is the last. Never empty; nearly always one.
        channels: Vec<(u64, Channel<C, P>)>,
        /// `depart` was received on a channel that has closed.
        departing: bool,
    },
    Absent(Absence),
}

#[derive(Debug)]
struct Channel<C, P> {
    connection: C,
    peer: P,
}

/// When the last channel closed, and a number that orders absences of one instant. Not the deadline:
/// adding a timeout may overflow.
type Absence = (Instant, u64);

impl<C, P: Clone> PeerTable<C, P> {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            peers: HashMap::new(),
            absent: BTreeMap::new(),
            connections: 0,
            next_number: 0,
        }
    }

    /// Takes effect at once, for absent peers too.
    pub(crate) fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// A channel has completed its handshake.
    pub(crate) fn opened(
        &mut self,
        id: &PeerId,
        peer: P,
        connection: C,
        now: Instant,
    ) -> (Key, Vec<Change<P>>) {
        let mut changes = self.tick(now);
        let number = self.number();
        self.connections += 1;

        let channel = Channel {
            connection,
            peer: peer.clone(),
        };
        let kind = match self.peers.get_mut(id) {
            // A `depart` on another channel holds for the peer; a further channel does not revoke it.
            Some(PeerState::Connected { channels, .. }) => {
                channels.push((number, channel));
                ChangeKind::Duplicate
            }
            Some(PeerState::Absent(absence)) => {
                self.absent.remove(absence);
                self.peers
                    .insert(id.clone(), PeerState::arrived(number, channel));
                ChangeKind::Reconnected
            }
            None => {
                self.peers
                    .insert(id.clone(), PeerState::arrived(number, channel));
                ChangeKind::Established
            }
        };
        if self.config.own_id.as_ref() == Some(id) {
            changes.push(kind.of(peer.clone()));
            changes.push(ChangeKind::SelfConnection.of(peer));
        } else {
            changes.push(kind.of(peer));
        }

        (Key(number), changes)
    }

    /// A channel has closed; `departing` if `depart` was received on it.
    ///
    /// Only the last channel makes a difference. Then the peer is absent, or has departed at once if
    /// it sent `depart` on any of its channels: it may send it on one and close them in any order.
    pub(crate) fn closed(
        &mut self,
        id: &PeerId,
        Key(number): Key,
        departing: bool,
        now: Instant,
    ) -> Vec<Change<P>> {
        let mut changes = self.tick(now);
        let Some(PeerState::Connected {
            channels,
            departing: leaving,
        }) = self.peers.get_mut(id)
        else {
            return changes;
        };
        let Some(at) = channels.iter().position(|(known, _)| *known == number) else {
            return changes;
        };
        let (_, Channel { peer, .. }) = channels.remove(at);
        self.connections -= 1;
        *leaving |= departing;
        if !channels.is_empty() {
            return changes;
        }

        if *leaving || self.config.departure_timeout.is_zero() {
            self.peers.remove(id);
            changes.push(ChangeKind::Departed.of(peer));
            return changes;
        }
        let absence = (now, self.number());
        self.absent.insert(absence, (id.clone(), peer.clone()));
        self.peers.insert(id.clone(), PeerState::Absent(absence));
        changes.push(ChangeKind::Disconnected.of(peer));
        if self.absent.len() > self.config.max_absent {
            changes.extend(self.oldest_departs());
        }
        changes
    }

    /// Peers that have been absent for the departure timeout depart.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Change<P>> {
        let mut changes = Vec::new();
        while let Some(((since, _), _)) = self.absent.first_key_value()
            && now.saturating_duration_since(*since) >= self.config.departure_timeout
        {
            changes.extend(self.oldest_departs());
        }
        changes
    }

    /// When [`tick`](Self::tick) will next have a change to report, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let ((since, _), _) = self.absent.first_key_value()?;
        // A timeout beyond the clock's range is one that never passes.
        since.checked_add(self.config.departure_timeout)
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn oldest_departs(&mut self) -> Option<Change<P>> {
        let (_, (id, peer)) = self.absent.pop_first()?;
        self.peers.remove(&id);
        Some(ChangeKind::Departed.of(peer))
    }
}

impl<C, P> PeerTable<C, P> {
    /// A peer that is connected or absent, as its latest channel described it.
    pub(crate) fn known(&self, id: &PeerId) -> Option<&P> {
        match self.peers.get(id)? {
            PeerState::Connected { channels, .. } => {
                channels.last().map(|(_, channel)| &channel.peer)
            }
            PeerState::Absent(absence) => self.absent.get(absence).map(|(_, peer)| peer),
        }
    }

    /// The latest connection of a peer.
    pub(crate) fn connection(&self, id: &PeerId) -> Option<&C> {
        self.connections_of(id).next_back()
    }

    /// All connections of a peer, the latest last.
    pub(crate) fn connections_of<'a>(
        &'a self,
        id: &PeerId,
    ) -> impl DoubleEndedIterator<Item = &'a C> + use<'a, C, P> {
        self.peers
            .get(id)
            .into_iter()
            .flat_map(PeerState::connections)
    }

    /// All connections of all peers, in no particular order.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &C> {
        self.peers.values().flat_map(PeerState::connections)
    }

    /// How many connections there are.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections
    }

    /// True while the peer is connected.
    pub(crate) fn is_present(&self, id: &PeerId) -> bool {
        matches!(self.peers.get(id), Some(PeerState::Connected { .. }))
    }
}

impl<C, P> PeerState<C, P> {
    /// A `depart` of an earlier connection does not count.
    fn arrived(number: u64, channel: Channel<C, P>) -> Self {
        Self::Connected {
            channels: vec![(number, channel)],
            departing: false,
        }
    }

    fn connections(&self) -> impl DoubleEndedIterator<Item = &C> {
        let channels = match self {
            Self::Connected { channels, .. } => Some(channels.iter().map(|(_, channel)| channel)),
            Self::Absent(_) => None,
        };
        channels
            .into_iter()
            .flatten()
            .map(|channel| &channel.connection)
    }
}

impl ChangeKind {
    fn of<P>(self, peer: P) -> Change<P> {
        Change { peer, kind: self }
    }
}
