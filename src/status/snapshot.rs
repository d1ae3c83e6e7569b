//! The status of a role as a value. Pure.

use std::fmt;

use kyneta_uds_negotiate::Role;
use serde::{Deserialize, Serialize};

use crate::{bus::BusCounts, counts::Counts, waiting::Waiting};

/// The status of a [`Server`](crate::Server), [`Peer`](crate::Peer), [`Client`](crate::Client) or
/// [`Bus`](crate::Bus) at one time. In JSON, fields have these names, and fields that are `None` are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its role or state.
    pub role: Standing,
    /// Its own peer id.
    pub id: String,
    /// The path of the bus; `None` for a listener that was passed its socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The time since its start, milliseconds.
    pub uptime_ms: u64,
    /// Why it waits; `None` when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingStatus>,
    /// The messages in all queues.
    pub queued: Queued,
    /// Messages sent since the start, each counted once per receiver. A message that was being sent when
    /// a connection broke counts for the next connection, or not at all.
    pub sent: u64,
    /// Messages received since the start. Messages that are read after their connection was given up are
    /// not included.
    #[serde(default)]
    pub received: u64,
    /// The connected peers, by id.
    pub peers: Vec<PeerStatus>,
    /// What a listener passes between its members; `None` for a client, and where nothing is relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayStatus>,
    /// Of a [`Bus`](crate::Bus): how often something has happened. Its `counts` are zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusCounts>,
    /// The links to other machines that a listener runs, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkStatus>,
    /// True where links to other machines are configured, and this process does not listen: then the listener of the path
    /// runs links, if it has the same configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub links_by_listener: bool,
    /// Why the links of a listener cannot be started; `None` when they are, and where there are to be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links_failure: Option<LinksFailureStatus>,
    /// How often each limit was reached, and other failures.
    pub counts: Counts,
}

/// A link to another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The machine.
    pub machine: String,
    /// True while the link is up.
    pub up: bool,
    /// Why it is not, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the one before it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_down: Option<String>,
    /// How long the other machine takes to answer now, microseconds; `None` while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// How often the link has come up.
    pub opened: u64,
    /// What waits to be sent on it.
    pub queued: Queued,
}

/// Why the links of a listener cannot be started. It is tried again each second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinksFailureStatus {
    /// The last reason, with its causes.
    pub why: String,
    /// How many attempts have failed in a row.
    pub attempts: u64,
    /// For how long, milliseconds.
    pub for_ms: u64,
}

/// Why a role waits: see [`Server::waiting`](crate::Server::waiting),
/// [`Client::waiting`](crate::Client::waiting) and [`Peer::waiting`](crate::Peer::waiting).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitingStatus {
    /// The last reason, with its causes.
    pub why: String,
    /// How long there has been a reason, milliseconds.
    pub for_ms: u64,
}

/// One connection. Two peers with the same id are two entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer's id.
    pub id: String,
    /// The peer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The peer's type: user, bot or service.
    #[serde(rename = "type")]
    pub peer_type: String,
    /// The wire version: 2 or 3.
    pub wire: u8,
    /// The uid of its process; `None` when the connector hides the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its process id, where the kernel reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The age of the connection, milliseconds.
    pub connected_ms: u64,
    /// The messages in its queue. The listener that this side connects to has the role's queue.
    pub queued: Queued,
    /// Messages sent on the connection.
    pub sent: u64,
    /// Messages received on it.
    #[serde(default)]
    pub received: u64,
}

/// What the [relay](crate::Builder::relay) of a listener has and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct RelayStatus {
    /// Members: connections, and code in this process.
    pub members: usize,
    /// Messages passed on since the start, each counted once per receiver.
    pub routed: u64,
    /// Documents that a member has presented.
    pub documents: usize,
    /// Pairs of a member and a document that it holds, wants or was told of.
    pub records: usize,
    /// Messages that members have not answered yet.
    pub open: usize,
}

/// The content of a queue, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Queued {
    /// Messages.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// A [`Role`](crate::Role) or the name of a [`State`](crate::State).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Standing {
    /// A `Server`, or a `Peer` that listens.
    Listener,
    /// A `Peer` that is connected to the listener.
    Connector,
    /// A `Peer` without a role.
    Negotiating,
    /// A `Server` or `Peer` that has ended or is closing.
    Disposed,
    /// A `Client` that connects for the first time.
    Connecting,
    /// A `Client` that is connected.
    Connected,
    /// A `Client` that has lost its connection and connects again.
    Reconnecting,
    /// A `Client` that has ended.
    Disconnected,
}

impl From<Role> for Standing {
    fn from(role: Role) -> Self {
        match role {
            Role::Negotiating => Self::Negotiating,
            Role::Listener => Self::Listener,
            Role::Connector => Self::Connector,
            Role::Disposed => Self::Disposed,
        }
    }
}

impl WaitingStatus {
    pub(super) fn of(waiting: &Waiting) -> Self {
        Self {
            why: waiting.why().to_string(),
            for_ms: u64::try_from(waiting.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Standing {
    /// Listens or is connected.
    const fn works(self) -> bool {
        matches!(self, Self::Listener | Self::Connector | Self::Connected)
    }

    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Connector => "connector",
            Self::Negotiating => "negotiating",
            Self::Disposed => "disposed",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Why a role is not healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    role: Standing,
    waiting: Option<WaitingStatus>,
}

impl std::error::Error for Unhealthy {}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.role.name();
        match (&self.waiting, self.role.works()) {
            (None, _) => write!(f, "{name}: neither listening nor connected"),
            (Some(WaitingStatus { why, for_ms }), works) => {
                let what = if works { "not to be found" } else { "waiting" };
                let tenths = for_ms / 100;
                write!(f, "{name}: {what} for {}.{} s: ", tenths / 10, tenths % 10)?;
                f.write_str(why)
            }
        }
    }
}

impl Snapshot {
    /// An empty snapshot, for an endpoint that is served before its role exists.
    pub fn new(role: Standing, id: impl Into<String>) -> Self {
        Self {
            role,
            id: id.into(),
            path: None,
            uptime_ms: 0,
            waiting: None,
            queued: Queued::default(),
            sent: 0,
            received: 0,
            peers: Vec::new(),
            relay: None,
            bus: None,
            links: Vec::new(),
            links_by_listener: false,
            links_failure: None,
            counts: Counts::default(),
        }
    }

    /// Ok while it listens at its path or is connected. A listener without peers is healthy.
    ///
    /// # Errors
    /// [`Unhealthy`], with the role or state, and why and how long it waits.
    pub fn health(&self) -> Result<(), Unhealthy> {
        if self.role.works() && self.waiting.is_none() {
            return Ok(());
        }
        Err(Unhealthy {
            role: self.role,
            waiting: self.waiting.clone(),
        })
    }
}

impl Queued {
    pub(super) fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json, to_value};

    use super::*;

    pub(in super::super) const ALL: [(Standing, bool); 8] = [
        (Standing::Listener, true),
        (Standing::Connector, true),
        (Standing::Negotiating, false),
        (Standing::Disposed, false),
        (Standing::Connecting, false),
        (Standing::Connected, true),
        (Standing::Reconnecting, false),
        (Standing::Disconnected, false),
    ];

    /// A listener with two peers: one with all fields, one with the required ones.
    pub(in super::super) fn example() -> Snapshot {
        let queued = |messages, bytes| Queued { messages, bytes };
        let peer = |id: &str| PeerStatus {
            id: id.into(),
            name: None,
            peer_type: "service".into(),
            wire: 2,
            uid: None,
            pid: None,
            connected_ms: 5,
            queued: queued(0, 0),
            sent: 0,
            received: 0,
        };
        Snapshot {
            path: Some("/run/bus.sock".into()),
            uptime_ms: 61_500,
            queued: queued(2, 34),
            sent: 9,
            received: 5,
            peers: vec![
                PeerStatus {
                    name: Some("Billing".into()),
                    wire: 3,
                    uid: Some(1000),
                    pid: Some(4242),
                    queued: queued(2, 34),
                    sent: 7,
                    received: 4,
                    ..peer("billing-1")
                },
                peer("z"),
            ],
            relay: Some(RelayStatus {
                members: 2,
                routed: 8,
                documents: 1,
                records: 2,
                open: 0,
            }),
            counts: Counts {
                stalled: 1,
                ..Counts::default()
            },
            ..Snapshot::new(Standing::Listener, "hub")
        }
    }

    #[test]
    fn json_and_back() {
        let json = to_value(example()).unwrap();
        let mut expected = json!({
            "role": "listener", "id": "hub", "path": "/run/bus.sock", "uptime_ms": 61_500,
            "queued": {"messages": 2, "bytes": 34}, "sent": 9, "received": 5,
            "peers": [
                {"id": "billing-1", "name": "Billing", "type": "service", "wire": 3, "uid": 1000,
                 "pid": 4242, "connected_ms": 5, "queued": {"messages": 2, "bytes": 34}, "sent": 7, "received": 4},
                {"id": "z", "type": "service", "wire": 2, "connected_ms": 5,
                 "queued": {"messages": 0, "bytes": 0}, "sent": 0, "received": 0},
            ],
            "relay": {"members": 2, "routed": 8, "documents": 1, "records": 2, "open": 0},
        });
        expected["counts"] = to_value(example().counts).unwrap();
        assert_eq!(json, expected);
        assert_eq!(json["counts"]["stalled"], 1);
        assert_eq!(serde_json::from_value::<Snapshot>(json).unwrap(), example());
    }

    #[test]
    fn what_it_waits_for_is_in_the_json_and_in_the_reason() {
        let waiting = |role| {
            let mut snapshot = Snapshot::new(role, "x");
            snapshot.waiting = Some(WaitingStatus {
                why: "/run/bus.sock is in use".into(),
                for_ms: 12_345,
            });
            snapshot
        };
        let said = |role| waiting(role).health().unwrap_err().to_string();
        let listener = "listener: not to be found for 12.3 s: /run/bus.sock is in use";
        assert_eq!(said(Standing::Listener), listener);
        let negotiating = "negotiating: waiting for 12.3 s: /run/bus.sock is in use";
        assert_eq!(said(Standing::Negotiating), negotiating);

        let json = to_value(waiting(Standing::Negotiating)).unwrap();
        let expected = json!({"why": "/run/bus.sock is in use", "for_ms": 12_345});
        assert_eq!(json["waiting"], expected);
        let back: Snapshot = serde_json::from_value(json).unwrap();
        assert_eq!(back, waiting(Standing::Negotiating));
    }

    #[test]
    fn counts_that_an_older_one_does_not_know_are_none() {
        let mut json = to_value(example()).unwrap();
        json["counts"] = json!({"stalled": 1});
        assert_eq!(serde_json::from_value::<Snapshot>(json).unwrap(), example());
    }

    #[test]
    fn each_standing_has_a_name_and_is_well_or_not() {
        for (standing, well) in ALL {
            assert_eq!(to_value(standing).unwrap(), Value::from(standing.name()));
            let health = Snapshot::new(standing, "x").health();
            assert_eq!(health.is_ok(), well, "{standing:?}");
            if let Err(reason) = health {
                assert!(reason.to_string().starts_with(standing.name()), "{reason}");
            }
        }
    }
}
