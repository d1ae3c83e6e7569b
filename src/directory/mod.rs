//! Who is here, by peer id: which peers have come, which are away for a while, which have left.
//!
//! In: channels that were established and that closed, and the time. Out: [`Change`]s to tell, and
//! the connections of a peer. Touches nothing: no clock, no I/O, no lock.
//!
//! A peer is here while it has a channel. Without one it is away, and after the departure timeout it
//! has departed, which is to be unknown again. Every input carries the time and first lets depart
//! who is due, so the answers do not depend on how promptly [`tick`](Directory::tick) is called.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use kyneta_uds_core::PeerId;

#[cfg(test)]
mod tests;

/// How long and how many absent peers are remembered.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// How long a peer may be away and still be the same one when it comes back. 30 s by default;
    /// zero is no grace: a peer departs with its last channel.
    pub(crate) departure_timeout: Duration,
    /// How many peers may be away at once; beyond that the one away longest departs at once, so that
    /// a flood of ids grows nothing. 1,024 by default.
    pub(crate) max_absent: usize,
    /// One's own id, to notice a channel to oneself. Unknown by default.
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
    /// Which peer: what was said of it when the channel opened that this is about, or for a
    /// departure after the timeout, its last one.
    pub(crate) peer: P,
    pub(crate) kind: ChangeKind,
}

/// How a peer has come or gone, and two diagnostics, which refuse nothing and follow the former.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// A peer that was unknown, or had departed, is here.
    Established,
    /// A peer that was away is here again.
    Reconnected,
    /// Its last channel has closed; it may come back.
    Disconnected,
    /// It has left for good: on purpose, or it was away too long.
    Departed,
    /// Another channel of a peer that is here.
    Duplicate,
    /// The peer has one's own id.
    SelfConnection,
}

/// An open channel's entry. It cannot be cloned and [`closed`](Directory::closed) consumes it, so
/// none is closed twice.
#[derive(Debug)]
#[must_use = "the peer stays here until `closed` gets it"]
pub(crate) struct Key {
    peer: PeerId,
    number: u64,
}

/// The peers of a bus. `C` is what is kept of a connection while it stands; `P` is what tells of the
/// peer. They are two because `P` outlives the connection by the departure timeout, and `C`, which
/// holds buffers, must not.
#[derive(Debug)]
pub(crate) struct Directory<C, P> {
    config: Config,
    peers: HashMap<PeerId, Presence<C, P>>,
    /// The one away longest first. An ordered map and not a queue: one that comes back is taken out
    /// of the middle.
    absent: BTreeMap<Absence, (PeerId, P)>,
    connections: usize,
    next_number: u64,
}

#[derive(Debug)]
enum Presence<C, P> {
    Here {
        /// The latest is the last. Never empty; nearly always one.
        channels: Vec<(u64, Channel<C, P>)>,
        /// One of its channels that have closed had said `depart`.
        departing: bool,
    },
    Away(Absence),
}

#[derive(Debug)]
struct Channel<C, P> {
    connection: C,
    peer: P,
}

/// When the last channel closed, and a number that keeps those of one instant in order. The begin is
/// kept and not the deadline: adding any timeout to it might overflow.
type Absence = (Instant, u64);

impl<C, P: Clone> Directory<C, P> {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            peers: HashMap::new(),
            absent: BTreeMap::new(),
            connections: 0,
            next_number: 0,
        }
    }

    /// From now on.
    pub(crate) fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// A channel's peer has introduced itself.
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
            // What it has said on another channel, `depart` included, holds for the peer, and a
            // channel more takes nothing back.
            Some(Presence::Here { channels, .. }) => {
                channels.push((number, channel));
                ChangeKind::Duplicate
            }
            Some(Presence::Away(absence)) => {
                self.absent.remove(absence);
                self.peers
                    .insert(id.clone(), Presence::arrived(number, channel));
                ChangeKind::Reconnected
            }
            None => {
                self.peers
                    .insert(id.clone(), Presence::arrived(number, channel));
                ChangeKind::Established
            }
        };
        if self.config.own_id.as_ref() == Some(id) {
            changes.push(kind.of(peer.clone()));
            changes.push(ChangeKind::SelfConnection.of(peer));
        } else {
            changes.push(kind.of(peer));
        }

        let peer = id.clone();
        (Key { peer, number }, changes)
    }

    /// A channel has closed; `departing` when its peer had said `depart` on it.
    ///
    /// Only the last channel makes a difference. Then the peer is away, or has departed at once if
    /// it said so on any of its channels: what leaves is the peer, and it may say so on one channel
    /// and close them in any order.
    pub(crate) fn closed(&mut self, key: Key, departing: bool, now: Instant) -> Vec<Change<P>> {
        let mut changes = self.tick(now);
        let Key { peer: id, number } = key;
        let Some(Presence::Here {
            channels,
            departing: leaving,
        }) = self.peers.get_mut(&id)
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
            self.peers.remove(&id);
            changes.push(ChangeKind::Departed.of(peer));
            return changes;
        }
        let absence = (now, self.number());
        self.absent.insert(absence, (id.clone(), peer.clone()));
        self.peers.insert(id, Presence::Away(absence));
        changes.push(ChangeKind::Disconnected.of(peer));
        if self.absent.len() > self.config.max_absent {
            changes.extend(self.oldest_departs());
        }
        changes
    }

    /// Lets depart who has been away for the departure timeout.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Change<P>> {
        let mut changes = Vec::new();
        while let Some(((since, _), _)) = self.absent.first_key_value()
            && now.saturating_duration_since(*since) >= self.config.departure_timeout
        {
            changes.extend(self.oldest_departs());
        }
        changes
    }

    /// When [`tick`](Self::tick) will have something to tell, if nothing else happens.
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

impl<C, P> Directory<C, P> {
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
            .flat_map(Presence::connections)
    }

    /// All connections of all peers, in no particular order.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &C> {
        self.peers.values().flat_map(Presence::connections)
    }

    /// How many connections there are.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections
    }

    /// True when the peer is here.
    pub(crate) fn is_present(&self, id: &PeerId) -> bool {
        matches!(self.peers.get(id), Some(Presence::Here { .. }))
    }
}

impl<C, P> Presence<C, P> {
    /// It begins with nothing said: a `depart` belongs to an earlier stay.
    fn arrived(number: u64, channel: Channel<C, P>) -> Self {
        Self::Here {
            channels: vec![(number, channel)],
            departing: false,
        }
    }

    fn connections(&self) -> impl DoubleEndedIterator<Item = &C> {
        let channels = match self {
            Self::Here { channels, .. } => Some(channels.iter().map(|(_, channel)| channel)),
            Self::Away(_) => None,
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
