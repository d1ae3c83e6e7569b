//! Sequences of inputs with their times, and the changes that they report.
//!
//! By tables, and at random beside a simple model. A failure shows the step.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kyneta_uds_core::PeerId;

use super::{Change, ChangeKind::*, Config, Key, PeerTable};

fn id(name: &str) -> PeerId {
    PeerId::new(&name[..1]).unwrap()
}

/// Runs steps, one a line: the second, the input, and the changes that it must report.
///
/// Inputs: `open` and `close` a channel, `depart` on a channel that closes, `tick`. The first letter of a
/// channel's name is its peer's id; a change names the channel that it is about.
fn run(what: &str, config: Config, steps: &'static str) -> PeerTable<&'static str, &'static str> {
    let start = Instant::now();
    let mut table = PeerTable::new(config);
    let mut keys = HashMap::new();
    for step in steps.lines() {
        let (input, expected) = step.trim().split_once(':').unwrap();
        let words: Vec<_> = input.split(' ').collect();
        let now = start + Duration::from_secs(words[0].parse().unwrap());
        let changes = match words[1..] {
            ["open", name] => {
                let (key, changes) = table.opened(&id(name), name, name, now);
                keys.insert(name, key);
                changes
            }
            ["close", name] => table.closed(&id(name), keys.remove(name).unwrap(), false, now),
            ["depart", name] => table.closed(&id(name), keys.remove(name).unwrap(), true, now),
            ["tick"] => table.tick(now),
            _ => panic!("{what}: {step}"),
        };
        let changes = changes.iter().map(|c| format!("{} {:?}", c.peer, c.kind));
        let changes = changes.collect::<Vec<_>>().join(", ");
        assert_eq!(changes, expected.trim(), "{what}: {step}");
    }
    table
}

#[test]
fn tables() {
    let table = [
        (
            "absent too long",
            "0 open a1: a1 Established
             1 close a1: a1 Disconnected
             30 tick:
             31 tick: a1 Departed
             99 tick:
             99 open a2: a2 Established",
        ),
        (
            "back in time, and the timeout starts afresh",
            "0 open a1: a1 Established
             0 close a1: a1 Disconnected
             29 open a2: a2 Reconnected
             60 tick:
             60 close a2: a2 Disconnected
             89 tick:
             90 tick: a2 Departed",
        ),
        (
            "late, without a tick",
            "0 open a1: a1 Established
             0 close a1: a1 Disconnected
             30 open a2: a1 Departed, a2 Established",
        ),
        (
            "closing reports other departures that are due",
            "0 open a1: a1 Established
             0 open b1: b1 Established
             0 close a1: a1 Disconnected
             30 close b1: a1 Departed, b1 Disconnected",
        ),
        (
            "on purpose: no grace, and coming back is a new arrival",
            "0 open a1: a1 Established
             1 depart a1: a1 Departed
             2 open a2: a2 Established
             3 close a2: a2 Disconnected
             33 tick: a2 Departed",
        ),
        (
            "of two channels only the end of the last one is reported",
            "0 open a1: a1 Established
             0 open a2: a2 Duplicate
             1 close a2:
             40 tick:
             40 close a1: a1 Disconnected",
        ),
        (
            "depart on a channel that closes first",
            "0 open a1: a1 Established
             0 open a2: a2 Duplicate
             1 depart a1:
             2 open a3: a3 Duplicate
             3 close a2:
             4 close a3: a3 Departed",
        ),
        (
            "depart on the channel that closes last",
            "0 open a1: a1 Established
             0 open a2: a2 Duplicate
             1 close a1:
             2 depart a2: a2 Departed",
        ),
        (
            "one that came back can have a duplicate too",
            "0 open a1: a1 Established
             0 close a1: a1 Disconnected
             1 open a2: a2 Reconnected
             1 open a3: a3 Duplicate
             2 close a2:
             3 close a3: a3 Disconnected",
        ),
        (
            "a peer with this side's own id, once and twice",
            "0 open z1: z1 Established, z1 SelfConnection
             0 open z2: z2 Duplicate, z2 SelfConnection
             0 close z1:
             0 close z2: z2 Disconnected
             1 open z3: z3 Reconnected, z3 SelfConnection",
        ),
        (
            "several due at once, the longest absence first",
            "0 open a1: a1 Established
             0 open b1: b1 Established
             1 close b1: b1 Disconnected
             1 close a1: a1 Disconnected
             31 tick: b1 Departed, a1 Departed",
        ),
        (
            "one absent too many, and one that came back makes room",
            "0 open a1: a1 Established
             0 open b1: b1 Established
             0 open c1: c1 Established
             1 close a1: a1 Disconnected
             2 close b1: b1 Disconnected
             3 open a2: a2 Reconnected
             4 close c1: c1 Disconnected
             5 close a2: a2 Disconnected, b1 Departed
             6 open b2: b2 Established",
        ),
    ];
    for (what, steps) in table {
        let config = Config {
            max_absent: 2,
            own_id: Some(id("z")),
            ..Config::default()
        };
        run(what, config, steps);
    }
}

#[test]
fn without_a_departure_timeout_a_peer_departs_at_once() {
    let config = Config {
        departure_timeout: Duration::ZERO,
        ..Config::default()
    };
    let steps = "0 open a1: a1 Established
        0 close a1: a1 Departed
        0 open a2: a2 Established";
    run("no grace", config, steps);
}

#[test]
fn without_absent_peers_the_last_close_is_a_departure() {
    let config = Config {
        max_absent: 0,
        ..Config::default()
    };
    let steps = "0 open a1: a1 Established
        0 close a1: a1 Disconnected, a1 Departed
        0 open a2: a2 Established";
    run("none remembered", config, steps);
}

#[test]
fn a_timeout_beyond_the_clock_never_passes() {
    let config = Config {
        departure_timeout: Duration::MAX,
        ..Config::default()
    };
    let steps = "0 open a1: a1 Established
        0 close a1: a1 Disconnected
        1000000000 tick:
        1000000000 open a2: a2 Reconnected";
    run("beyond", config.clone(), steps);

    let steps = "0 open a1: a1 Established
        0 close a1: a1 Disconnected";
    assert_eq!(run("beyond", config, steps).next_deadline(), None);
}

#[test]
fn the_deadline_is_that_of_the_longest_absence() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut table = PeerTable::new(Config::default());
    let (a, _) = table.opened(&id("a"), (), (), at(0));
    let (b, _) = table.opened(&id("b"), (), (), at(0));
    assert_eq!(table.next_deadline(), None);
    table.closed(&id("b"), b, false, at(1));
    table.closed(&id("a"), a, false, at(2));
    assert_eq!(table.next_deadline(), Some(at(31)));
    let (b, _) = table.opened(&id("b"), (), (), at(3));
    assert_eq!(table.next_deadline(), Some(at(32)));
    table.closed(&id("b"), b, true, at(4));
    assert_eq!(table.next_deadline(), Some(at(32)));
    table.tick(at(32));
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn queries() {
    let steps = "0 open a1: a1 Established
        0 open a2: a2 Duplicate
        0 open a3: a3 Duplicate
        0 open b1: b1 Established
        0 open c1: c1 Established
        0 close a3:
        0 close c1: c1 Disconnected";
    let table = run("queries", Config::default(), steps);

    assert_eq!(table.connection(&id("a")), Some(&"a2"));
    assert_eq!(table.connection(&id("c")), None);
    assert_eq!(table.connection(&id("x")), None);
    let of_a: Vec<_> = table.connections_of(&id("a")).copied().collect();
    assert_eq!(of_a, ["a1", "a2"]);
    let mut all: Vec<_> = table.connections().copied().collect();
    all.sort_unstable();
    assert_eq!(all, ["a1", "a2", "b1"]);
    assert_eq!(table.connection_count(), 3);
    assert!(table.is_present(&id("a")));
    assert!(!table.is_present(&id("c")));
    assert!(!table.is_present(&id("x")));
}

#[test]
fn a_connection_is_dropped_when_it_closes() {
    let connection = std::sync::Arc::new(());
    let now = Instant::now();
    let mut table = PeerTable::new(Config::default());
    let (key, _) = table.opened(&id("a"), "a", connection.clone(), now);
    table.closed(&id("a"), key, false, now);
    assert_eq!(std::sync::Arc::strong_count(&connection), 1);
}

#[test]
fn a_flood_of_ids_uses_bounded_memory() {
    let now = Instant::now();
    let mut table = PeerTable::new(Config::default());
    let mut departed = 0;
    for i in 0..5_000 {
        let id = PeerId::new(format!("peer-{i}")).unwrap();
        let (key, _) = table.opened(&id, i, (), now);
        for change in table.closed(&id, key, false, now) {
            if change.kind == Departed {
                assert_eq!(change.peer, departed, "the longest absence first");
                departed += 1;
            }
        }
        assert!(table.absent.len() <= 1024);
        assert_eq!(table.peers.len(), table.absent.len());
    }
    assert_eq!(departed, 5_000 - 1024);
}

/// The state of a peer as known from the changes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Unknown,
    Connected,
    Absent,
}

/// A reader of changes that checks their order.
#[derive(Default)]
struct Reader(HashMap<PeerId, Known>);

impl Reader {
    fn read(&mut self, changes: Vec<Change<PeerId>>) {
        for Change { peer, kind } in changes {
            let known = self.0.entry(peer.clone()).or_insert(Known::Unknown);
            *known = match (*known, kind) {
                (Known::Unknown, Established)
                | (Known::Absent, Reconnected)
                | (Known::Connected, Duplicate | SelfConnection) => Known::Connected,
                (Known::Connected, Disconnected) => Known::Absent,
                (Known::Connected | Known::Absent, Departed) => Known::Unknown,
                other => panic!("{peer}: {other:?}"),
            };
        }
    }

    fn state(&self, id: &PeerId) -> Known {
        self.0.get(id).copied().unwrap_or(Known::Unknown)
    }
}

#[test]
fn at_random() {
    for seed in 1..=300 {
        at_random_from(seed);
    }
}

fn at_random_from(seed: u64) {
    let mut state = seed;
    // Splitmix64: the same every time, and nothing to depend on.
    let mut below = move |n: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    };
    let ids: Vec<_> = ["a", "b", "c", "d", "e", "z"].map(id).into();
    let max_absent = below(6) as usize;
    let mut table = PeerTable::new(Config {
        departure_timeout: Duration::from_secs(below(20)),
        max_absent,
        own_id: Some(id("z")),
    });
    let mut reader = Reader::default();
    let mut open: Vec<(PeerId, Key, u64)> = Vec::new();
    let mut now = Instant::now();

    for step in 0..300 {
        now += Duration::from_secs(below(4));
        let changes = match below(5) {
            0 | 1 => {
                let id = &ids[below(ids.len() as u64) as usize];
                let (key, changes) = table.opened(id, id.clone(), step, now);
                open.push((id.clone(), key, step));
                changes
            }
            2 | 3 if !open.is_empty() => {
                // In the order of opening, which the check of the latest relies on.
                let (id, key, _) = open.remove(below(open.len() as u64) as usize);
                table.closed(&id, key, below(4) == 0, now)
            }
            _ => table.tick(now),
        };
        reader.read(changes);

        assert_eq!(table.connection_count(), open.len());
        assert_eq!(table.connections().count(), open.len());
        assert!(table.absent.len() <= max_absent);
        assert!(table.next_deadline().is_none_or(|due| due > now));
        for id in &ids {
            let latest = open.iter().rfind(|(of, _, _)| of == id);
            assert_eq!(table.connection(id), latest.map(|(_, _, step)| step));
            assert_eq!(table.is_present(id), latest.is_some());
            assert_eq!(reader.state(id) == Known::Connected, latest.is_some());
            let absent = reader.state(id) == Known::Absent;
            assert_eq!(
                absent,
                !table.is_present(id) && table.peers.contains_key(id)
            );
        }
    }

    for (id, key, _) in open {
        reader.read(table.closed(&id, key, false, now));
    }
    while let Some(due) = table.next_deadline() {
        let changes = table.tick(due);
        assert!(!changes.is_empty(), "a deadline is when something happens");
        reader.read(changes);
    }
    for id in &ids {
        assert_eq!(reader.state(id), Known::Unknown, "{id} departed");
    }
    assert!(table.peers.is_empty());
}
