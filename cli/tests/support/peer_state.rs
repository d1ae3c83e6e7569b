//! The state of each process, from its own events, and whether all of them are one bus. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use serde_json::Value;

/// The state of one process.
#[derive(Debug, Default, Clone)]
pub(crate) struct PeerState {
    /// The last role that it reported.
    pub(crate) role: Option<String>,
    /// The established peers, and since when.
    pub(crate) peers: BTreeMap<String, Instant>,
    /// Its stdout has ended.
    pub(crate) ended: bool,
}

impl PeerState {
    /// Applies an event.
    pub(crate) fn record(&mut self, event: &Value, at: Instant) {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        match (text("event").as_str(), text("change").as_str()) {
            ("role", _) => self.role = Some(text("role")),
            ("peer", "established" | "reconnected") => {
                self.peers.insert(text("peer"), at);
            }
            ("peer", "disconnected" | "departed") => {
                self.peers.remove(&text("peer"));
            }
            _ => {}
        }
    }

    fn is(&self, role: &str) -> bool {
        self.role.as_deref() == Some(role)
    }

    fn knows(&self, peers: &BTreeSet<&str>) -> bool {
        self.peers
            .keys()
            .map(String::as_str)
            .eq(peers.iter().copied())
    }
}

/// All processes, connected to one listener.
#[derive(Debug, Clone)]
pub(crate) struct OneBus {
    pub(crate) listener: String,
    /// When the last peer was established.
    pub(crate) since: Instant,
}

pub(crate) type PeerStates = BTreeMap<String, PeerState>;

/// One bus of exactly these members: one listens, the others are connected to it and have no other peer.
pub(crate) fn one_bus<'a>(
    peers: &PeerStates,
    members: impl IntoIterator<Item = &'a str>,
) -> Option<OneBus> {
    let members: BTreeSet<&str> = members.into_iter().collect();
    let of = |member: &str| peers.get(member);
    let [listener] = listeners(peers, members.iter().copied())[..] else {
        return None;
    };
    let others: BTreeSet<&str> = members.iter().copied().filter(|m| *m != listener).collect();
    let only_the_listener = BTreeSet::from([listener]);
    let whole = of(listener)?.knows(&others)
        && others.iter().all(|other| {
            of(other).is_some_and(|it| it.is("connector") && it.knows(&only_the_listener))
        });
    let met = members.iter().filter_map(|member| of(member));
    let since = met.flat_map(|state| state.peers.values()).max();
    whole.then_some(OneBus {
        listener: listener.to_owned(),
        since: *since?,
    })
}

/// The members that report that they listen.
pub(crate) fn listeners<'a>(
    peers: &PeerStates,
    members: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let members = members.into_iter();
    let listens = |member: &&str| peers.get(*member).is_some_and(|it| it.is("listener"));
    members.filter(listens).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn states(lines: &[(&str, Value)]) -> PeerStates {
        let mut states = PeerStates::new();
        for (id, event) in lines {
            let state = states.entry((*id).to_owned()).or_default();
            state.record(event, Instant::now());
        }
        states
    }

    fn role(role: &str) -> Value {
        json!({"event": "role", "role": role})
    }

    fn peer(peer: &str, change: &str) -> Value {
        json!({"event": "peer", "peer": peer, "change": change})
    }

    #[test]
    fn one_bus_is_one_listener_that_all_others_are_connected_to() {
        let mut lines = vec![
            ("a", role("listener")),
            ("b", role("connector")),
            ("a", peer("b", "established")),
            ("b", peer("a", "established")),
        ];
        let bus = |lines: &[(&str, Value)], members: &[&str]| {
            one_bus(&states(lines), members.iter().copied()).map(|bus| bus.listener)
        };
        assert_eq!(bus(&lines, &["a", "b"]).as_deref(), Some("a"));
        assert_eq!(bus(&lines[..3], &["a", "b"]), None, "b has no peer");
        assert_eq!(
            bus(&lines, &["a"]),
            None,
            "a has a peer that is not a member"
        );
        assert_eq!(bus(&lines, &["a", "b", "c"]), None, "c has no events");
        lines.push(("b", role("listener")));
        assert_eq!(bus(&lines, &["a", "b"]), None, "two listen");
        lines.push(("b", role("connector")));
        lines.push(("b", peer("a", "disconnected")));
        assert_eq!(bus(&lines, &["a", "b"]), None, "b has lost a");
        lines.push(("b", peer("a", "reconnected")));
        assert_eq!(bus(&lines, &["a", "b"]).as_deref(), Some("a"));
    }
}
