//! How each process stands, by its own account, and whether all of them are one bus. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use serde_json::Value;

/// How one process stands.
#[derive(Debug, Default, Clone)]
pub(crate) struct Standing {
    /// As told last.
    pub(crate) role: Option<String>,
    /// Who is established with it, and since when.
    pub(crate) peers: BTreeMap<String, Instant>,
    /// It will say no more.
    pub(crate) ended: bool,
}

impl Standing {
    /// It has said something.
    pub(crate) fn hear(&mut self, event: &Value, at: Instant) {
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

/// A bus that is one.
#[derive(Debug, Clone)]
pub(crate) struct OneBus {
    pub(crate) listener: String,
    /// When the last of them had met its last peer.
    pub(crate) since: Instant,
}

pub(crate) type Standings = BTreeMap<String, Standing>;

/// One bus of exactly these: one listens, the others connect, they know each other and nobody else.
pub(crate) fn one_bus<'a>(
    standings: &Standings,
    members: impl IntoIterator<Item = &'a str>,
) -> Option<OneBus> {
    let members: BTreeSet<&str> = members.into_iter().collect();
    let of = |member: &str| standings.get(member);
    let [listener] = listeners(standings, members.iter().copied())[..] else {
        return None;
    };
    let others: BTreeSet<&str> = members.iter().copied().filter(|m| *m != listener).collect();
    let only_the_listener = BTreeSet::from([listener]);
    let whole = of(listener)?.knows(&others)
        && others.iter().all(|other| {
            of(other).is_some_and(|it| it.is("connector") && it.knows(&only_the_listener))
        });
    let met = members.iter().filter_map(|member| of(member));
    let since = met.flat_map(|standing| standing.peers.values()).max();
    whole.then_some(OneBus {
        listener: listener.to_owned(),
        since: *since?,
    })
}

/// Those of them that say that they listen.
pub(crate) fn listeners<'a>(
    standings: &Standings,
    members: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let members = members.into_iter();
    let listens = |member: &&str| standings.get(*member).is_some_and(|it| it.is("listener"));
    members.filter(listens).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(lines: &[(&str, Value)]) -> Standings {
        let mut standings = Standings::new();
        for (who, event) in lines {
            let standing = standings.entry((*who).to_owned()).or_default();
            standing.hear(event, Instant::now());
        }
        standings
    }

    fn role(role: &str) -> Value {
        json!({"event": "role", "role": role})
    }

    fn peer(peer: &str, change: &str) -> Value {
        json!({"event": "peer", "peer": peer, "change": change})
    }

    #[test]
    fn one_bus_is_one_listener_whom_all_others_know() {
        let mut lines = vec![
            ("a", role("listener")),
            ("b", role("connector")),
            ("a", peer("b", "established")),
            ("b", peer("a", "established")),
        ];
        let bus = |lines: &[(&str, Value)], members: &[&str]| {
            one_bus(&told(lines), members.iter().copied()).map(|bus| bus.listener)
        };
        assert_eq!(bus(&lines, &["a", "b"]).as_deref(), Some("a"));
        assert_eq!(bus(&lines[..3], &["a", "b"]), None, "b knows nobody");
        assert_eq!(bus(&lines, &["a"]), None, "a knows somebody who is gone");
        assert_eq!(bus(&lines, &["a", "b", "c"]), None, "c says nothing");
        lines.push(("b", role("listener")));
        assert_eq!(bus(&lines, &["a", "b"]), None, "two listen");
        lines.push(("b", role("connector")));
        lines.push(("b", peer("a", "disconnected")));
        assert_eq!(bus(&lines, &["a", "b"]), None, "b has lost a");
        lines.push(("b", peer("a", "reconnected")));
        assert_eq!(bus(&lines, &["a", "b"]).as_deref(), Some("a"));
    }
}
