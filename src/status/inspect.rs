//! Snapshots of roles.
//!
//! In: a role's handles. Out: a [`Snapshot`]. May touch: their locks, one after the other, each while it
//! copies.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, WireVersion};
use kyneta_uds_hub::Hub;
use kyneta_uds_queue::Handle;
use kyneta_uds_reconnect::StateKind;

#[cfg(feature = "machines")]
use super::snapshot::{LinkStatus, LinksFailureStatus};
use super::snapshot::{PeerStatus, Queued, RelayStatus, Snapshot, Standing, WaitingStatus};
use crate::{
    bus::{Bus, MemberInfo},
    client::Client,
    connection::Connection,
    peer::Peer,
    peers::Peers,
    server::Server,
    waiting::Waiting,
};

/// A role, or a closure that makes snapshots.
pub trait Inspect {
    /// The present status. Takes some hundred nanoseconds a peer; where messages are relayed, it waits for the one
    /// that is being routed, for 20 ms at most.
    fn snapshot(&self) -> Snapshot;
}

impl<F: Fn() -> Snapshot> Inspect for F {
    fn snapshot(&self) -> Snapshot {
        self()
    }
}

impl Inspect for Server {
    fn snapshot(&self) -> Snapshot {
        let role = match self.disposing().is_cancelled() {
            true => Standing::Disposed,
            false => Standing::Listener,
        };
        let status = of(role, self.peers(), None, self.waiting());
        with_relay(status, self.hub())
    }
}

impl Inspect for Peer {
    fn snapshot(&self) -> Snapshot {
        let role = self.role().into();
        let status = of(role, self.peers(), Some(self.handle()), self.waiting());
        #[cfg(feature = "machines")]
        let status = with_links(status, self.host());
        with_relay(status, self.hub())
    }
}

#[cfg(feature = "machines")]
fn with_links(mut snapshot: Snapshot, host: Option<&crate::machines::Host>) -> Snapshot {
    let Some(host) = host else {
        return snapshot;
    };
    let link = |link: crate::machines::LinkState| LinkStatus {
        machine: link.machine.to_string(),
        up: link.up,
        reason: link.reason.map(|reason| reason.to_string()),
        last_down: link.last_down.map(|reason| reason.to_string()),
        round_trip_us: link
            .round_trip
            .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        opened: link.opened,
        queued: Queued {
            messages: link.queued.0,
            bytes: link.queued.1,
        },
    };
    snapshot.links = host.status().into_iter().map(link).collect();
    snapshot.links_by_listener = snapshot.role == Standing::Connector;
    snapshot.links_failure = host.failure().map(|failure| LinksFailureStatus {
        why: failure.error.to_string(),
        attempts: failure.attempts,
        for_ms: millis(failure.elapsed),
    });
    snapshot
}

impl Inspect for Client {
    fn snapshot(&self) -> Snapshot {
        let role = match self.state().kind() {
            StateKind::Connecting => Standing::Connecting,
            StateKind::Connected => Standing::Connected,
            StateKind::Reconnecting => Standing::Reconnecting,
            StateKind::Disconnected => Standing::Disconnected,
        };
        of(role, self.peers(), Some(self.handle()), self.waiting())
    }
}

impl<M> Inspect for Bus<M> {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new(self.role().into(), self.id().as_str());
        snapshot.path = Some(self.path().to_string());
        snapshot.uptime_ms = millis(self.age());
        snapshot.waiting = self.waiting().as_ref().map(WaitingStatus::of);
        let (messages, bytes) = self.unacknowledged();
        snapshot.queued = Queued { messages, bytes };
        snapshot.sent = self.sent();
        let counts = self.counts();
        (snapshot.received, snapshot.bus) = (counts.received, Some(counts));
        let waits = self.waits();
        let members = self.members();
        let members = members.iter().map(|member| {
            let messages = waits.get(&member.id).copied().unwrap_or(0);
            member_status(member, messages)
        });
        snapshot.peers = members.collect();
        #[cfg(feature = "machines")]
        let snapshot = with_links(snapshot, self.host());
        snapshot
    }
}

/// A member of a bus. What waits for it, its listener knows alone: frames, whose bytes are not counted. What it has sent
/// is not counted for each member.
fn member_status(member: &MemberInfo, messages: usize) -> PeerStatus {
    PeerStatus {
        id: member.id.as_str().to_owned(),
        name: member.name.as_ref().map(|name| name.as_str().to_owned()),
        peer_type: member.kind.name().to_owned(),
        wire: WireVersion::V3.byte(),
        uid: member.uid,
        pid: member.pid,
        connected_ms: millis(member.since.elapsed()),
        queued: Queued { messages, bytes: 0 },
        sent: 0,
        received: 0,
    }
}

/// `queue` is the one that outlives connections, if the role has one.
fn of(
    role: Standing,
    peers: &Peers,
    queue: Option<&Handle<ChannelMsg>>,
    waiting: Option<Waiting>,
) -> Snapshot {
    let about = peers.about();
    let (present, (sent, received)) = peers.connections_and_ended_traffic();
    let mut snapshot = Snapshot::new(role, about.id().map_or("", |id| id.as_str()));
    snapshot.path = about.path().map(ToString::to_string);
    snapshot.uptime_ms = millis(about.age());
    snapshot.waiting = waiting.as_ref().map(WaitingStatus::of);
    snapshot.counts = peers.events().counts();
    snapshot.queued = queue.map_or_else(Queued::default, queued);
    (snapshot.sent, snapshot.received) = (sent, received);
    for connection in &present {
        let peer = peer(connection);
        snapshot.sent = snapshot.sent.saturating_add(peer.sent);
        snapshot.received = snapshot.received.saturating_add(peer.received);
        if !connection.traffic().shares_queue() {
            snapshot.queued.add(peer.queued);
        }
        snapshot.peers.push(peer);
    }
    snapshot.peers.sort_by(|a, b| a.id.cmp(&b.id));
    snapshot
}

fn with_relay(mut snapshot: Snapshot, hub: Option<&Hub<ChannelMsg>>) -> Snapshot {
    snapshot.relay = hub.map(|hub| {
        let status = hub.status();
        // Unknown while another task routes for longer than a moment.
        let kept = hub.inspect(|router| router.counts()).unwrap_or_default();
        RelayStatus {
            members: status.members,
            routed: status.routed,
            documents: kept.documents,
            records: kept.records,
            open: kept.open,
        }
    });
    snapshot
}

fn peer(connection: &Connection) -> PeerStatus {
    let (peer, traffic) = (connection.peer(), connection.traffic());
    let (identity, of) = (peer.identity(), peer.credentials());
    PeerStatus {
        id: identity.peer_id.as_str().to_owned(),
        name: identity.name.as_ref().map(|name| name.as_str().to_owned()),
        peer_type: identity.peer_type.name().to_owned(),
        wire: peer.wire().byte(),
        uid: of.map(|of| of.uid),
        pid: of.and_then(|of| of.pid),
        connected_ms: millis(traffic.age()),
        queued: queued(connection.handle()),
        sent: traffic.sent(connection.handle()),
        received: traffic.received(),
    }
}

fn queued(handle: &Handle<ChannelMsg>) -> Queued {
    let (messages, bytes) = handle.queued();
    Queued { messages, bytes }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
