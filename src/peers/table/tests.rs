//! Sequences of inputs with their times, and what is told of them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use kyneta_uds_core::PeerId;

use super::{Change, ChangeKind, ChangeKind::*, Config, Key, PeerTable};
use Step::{Close, Depart, Open, Tick};

/// The peer that a change names is the name of the channel it is about: "a1" is the first of "a".
type Told = Vec<(&'static str, ChangeKind)>;

enum Step {
    /// A channel of this name opens. Its peer's id is the name's first letter.
    Open(&'static str),
    Close(&'static str),
    /// It closes after a `depart`.
    Depart(&'static str),
    Tick,
}

/// At which second, what happens, what is told.
type Row = (u64, Step, Told);

fn id(name: &str) -> PeerId {
    PeerId::new(&name[..1]).unwrap()
}

/// Runs steps at their seconds; every one must tell exactly what stands beside it.
fn run(what: &str, config: Config, steps: Vec<Row>) -> PeerTable<&'static str, &str> {
    let start = Instant::now();
    let mut table = PeerTable::new(config);
    let mut keys = HashMap::new();
    for (i, (second, step, expected)) in steps.into_iter().enumerate() {
        let now = start + Duration::from_secs(second);
        let changes = match step {
            Open(name) => {
                let (key, changes) = table.opened(&id(name), name, name, now);
                keys.insert(name, key);
                changes
            }
            Close(name) => table.closed(keys.remove(name).unwrap(), false, now),
            Depart(name) => table.closed(keys.remove(name).unwrap(), true, now),
            Tick => table.tick(now),
        };
        let told: Told = changes.iter().map(|c| (c.peer, c.kind)).collect();
        assert_eq!(told, expected, "{what}, step {i}");
    }
    table
}

#[test]
fn tables() {
    let table: Vec<(&str, Vec<Row>)> = vec![
        (
            "away too long",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (1, Close("a1"), vec![("a1", Disconnected)]),
                (30, Tick, vec![]),
                (31, Tick, vec![("a1", Departed)]),
                (99, Tick, vec![]),
                (99, Open("a2"), vec![("a2", Established)]),
            ],
        ),
        (
            "back in time, and the timeout starts afresh",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Close("a1"), vec![("a1", Disconnected)]),
                (29, Open("a2"), vec![("a2", Reconnected)]),
                (60, Tick, vec![]),
                (60, Close("a2"), vec![("a2", Disconnected)]),
                (89, Tick, vec![]),
                (90, Tick, vec![("a2", Departed)]),
            ],
        ),
        (
            "late, though nobody ticked",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Close("a1"), vec![("a1", Disconnected)]),
                (30, Open("a2"), vec![("a1", Departed), ("a2", Established)]),
            ],
        ),
        (
            "closing tells who else is due",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("b1"), vec![("b1", Established)]),
                (0, Close("a1"), vec![("a1", Disconnected)]),
                (
                    30,
                    Close("b1"),
                    vec![("a1", Departed), ("b1", Disconnected)],
                ),
            ],
        ),
        (
            "on purpose: no grace, and coming back is a new arrival",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (1, Depart("a1"), vec![("a1", Departed)]),
                (2, Open("a2"), vec![("a2", Established)]),
                (3, Close("a2"), vec![("a2", Disconnected)]),
                (33, Tick, vec![("a2", Departed)]),
            ],
        ),
        (
            "of two channels only the last one's end is told",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("a2"), vec![("a2", Duplicate)]),
                (1, Close("a2"), vec![]),
                (40, Tick, vec![]),
                (40, Close("a1"), vec![("a1", Disconnected)]),
            ],
        ),
        (
            "depart on a channel that closes first",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("a2"), vec![("a2", Duplicate)]),
                (1, Depart("a1"), vec![]),
                (2, Open("a3"), vec![("a3", Duplicate)]),
                (3, Close("a2"), vec![]),
                (4, Close("a3"), vec![("a3", Departed)]),
            ],
        ),
        (
            "depart on the channel that closes last",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("a2"), vec![("a2", Duplicate)]),
                (1, Close("a1"), vec![]),
                (2, Depart("a2"), vec![("a2", Departed)]),
            ],
        ),
        (
            "one that came back can have a duplicate too",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Close("a1"), vec![("a1", Disconnected)]),
                (1, Open("a2"), vec![("a2", Reconnected)]),
                (1, Open("a3"), vec![("a3", Duplicate)]),
                (2, Close("a2"), vec![]),
                (3, Close("a3"), vec![("a3", Disconnected)]),
            ],
        ),
        (
            "oneself, whether alone or twice",
            vec![
                (
                    0,
                    Open("z1"),
                    vec![("z1", Established), ("z1", SelfConnection)],
                ),
                (
                    0,
                    Open("z2"),
                    vec![("z2", Duplicate), ("z2", SelfConnection)],
                ),
                (0, Close("z1"), vec![]),
                (0, Close("z2"), vec![("z2", Disconnected)]),
                (
                    1,
                    Open("z3"),
                    vec![("z3", Reconnected), ("z3", SelfConnection)],
                ),
            ],
        ),
        (
            "several due at once, the one away longest first",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("b1"), vec![("b1", Established)]),
                (1, Close("b1"), vec![("b1", Disconnected)]),
                (1, Close("a1"), vec![("a1", Disconnected)]),
                (31, Tick, vec![("b1", Departed), ("a1", Departed)]),
            ],
        ),
        (
            "one absent too many, and one that came back makes room",
            vec![
                (0, Open("a1"), vec![("a1", Established)]),
                (0, Open("b1"), vec![("b1", Established)]),
                (0, Open("c1"), vec![("c1", Established)]),
                (1, Close("a1"), vec![("a1", Disconnected)]),
                (2, Close("b1"), vec![("b1", Disconnected)]),
                (3, Open("a2"), vec![("a2", Reconnected)]),
                (4, Close("c1"), vec![("c1", Disconnected)]),
                (5, Close("a2"), vec![("a2", Disconnected), ("b1", Departed)]),
                (6, Open("b2"), vec![("b2", Established)]),
            ],
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
fn no_grace() {
    let config = Config {
        departure_timeout: Duration::ZERO,
        ..Config::default()
    };
    let steps = vec![
        (0, Open("a1"), vec![("a1", Established)]),
        (0, Close("a1"), vec![("a1", Departed)]),
        (0, Open("a2"), vec![("a2", Established)]),
    ];
    run("no grace", config, steps);
}

#[test]
fn none_remembered() {
    let config = Config {
        max_absent: 0,
        ..Config::default()
    };
    let steps = vec![
        (0, Open("a1"), vec![("a1", Established)]),
        (0, Close("a1"), vec![("a1", Disconnected), ("a1", Departed)]),
        (0, Open("a2"), vec![("a2", Established)]),
    ];
    run("none remembered", config, steps);
}

#[test]
fn a_timeout_beyond_the_clock_never_passes() {
    let config = Config {
        departure_timeout: Duration::MAX,
        ..Config::default()
    };
    let steps = vec![
        (0, Open("a1"), vec![("a1", Established)]),
        (0, Close("a1"), vec![("a1", Disconnected)]),
        (1_000_000_000, Tick, vec![]),
        (1_000_000_000, Open("a2"), vec![("a2", Reconnected)]),
    ];
    run("beyond", config.clone(), steps);

    let steps = vec![
        (0, Open("a1"), vec![("a1", Established)]),
        (0, Close("a1"), vec![("a1", Disconnected)]),
    ];
    assert_eq!(run("beyond", config, steps).next_deadline(), None);
}

#[test]
fn the_deadline_is_that_of_the_one_away_longest() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut table = PeerTable::new(Config::default());
    let (a, _) = table.opened(&id("a"), (), (), at(0));
    let (b, _) = table.opened(&id("b"), (), (), at(0));
    assert_eq!(table.next_deadline(), None);
    table.closed(b, false, at(1));
    table.closed(a, false, at(2));
    assert_eq!(table.next_deadline(), Some(at(31)));
    let (b, _) = table.opened(&id("b"), (), (), at(3));
    assert_eq!(table.next_deadline(), Some(at(32)));
    table.closed(b, true, at(4));
    assert_eq!(table.next_deadline(), Some(at(32)));
    table.tick(at(32));
    assert_eq!(table.next_deadline(), None);
}

#[test]
fn queries() {
    let steps = vec![
        (0, Open("a1"), vec![("a1", Established)]),
        (0, Open("a2"), vec![("a2", Duplicate)]),
        (0, Open("a3"), vec![("a3", Duplicate)]),
        (0, Open("b1"), vec![("b1", Established)]),
        (0, Open("c1"), vec![("c1", Established)]),
        (0, Close("a3"), vec![]),
        (0, Close("c1"), vec![("c1", Disconnected)]),
    ];
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
fn a_connection_is_let_go_when_it_closes() {
    let connection = std::sync::Arc::new(());
    let now = Instant::now();
    let mut table = PeerTable::new(Config::default());
    let (key, _) = table.opened(&id("a"), "a", connection.clone(), now);
    table.closed(key, false, now);
    assert_eq!(std::sync::Arc::strong_count(&connection), 1);
}

#[test]
fn a_flood_of_ids_grows_nothing() {
    let now = Instant::now();
    let mut table = PeerTable::new(Config::default());
    let mut departed = 0;
    for i in 0..5_000 {
        let id = PeerId::new(format!("peer-{i}")).unwrap();
        let (key, _) = table.opened(&id, i, (), now);
        for change in table.closed(key, false, now) {
            if change.kind == Departed {
                assert_eq!(change.peer, departed, "the one away longest");
                departed += 1;
            }
        }
        assert!(table.absent.len() <= 1024);
        assert_eq!(table.peers.len(), table.absent.len());
    }
    assert_eq!(departed, 5_000 - 1024);
}

/// What a listener may believe of a peer from the changes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    Unknown,
    Here,
    Away,
}

/// A listener that checks that what it is told makes sense.
#[derive(Default)]
struct Listener(HashMap<PeerId, Believed>);

impl Listener {
    fn hear(&mut self, changes: Vec<Change<PeerId>>) {
        for Change { peer, kind } in changes {
            let believed = self.0.entry(peer.clone()).or_insert(Believed::Unknown);
            *believed = match (*believed, kind) {
                (Believed::Unknown, Established)
                | (Believed::Away, Reconnected)
                | (Believed::Here, Duplicate | SelfConnection) => Believed::Here,
                (Believed::Here, Disconnected) => Believed::Away,
                (Believed::Here | Believed::Away, Departed) => Believed::Unknown,
                other => panic!("{peer}: {other:?}"),
            };
        }
    }

    fn believes(&self, id: &PeerId) -> Believed {
        self.0.get(id).copied().unwrap_or(Believed::Unknown)
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
    let mut listener = Listener::default();
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
                let (_, key, _) = open.remove(below(open.len() as u64) as usize);
                table.closed(key, below(4) == 0, now)
            }
            _ => table.tick(now),
        };
        listener.hear(changes);

        assert_eq!(table.connection_count(), open.len());
        assert_eq!(table.connections().count(), open.len());
        assert!(table.absent.len() <= max_absent);
        assert!(table.next_deadline().is_none_or(|due| due > now));
        for id in &ids {
            let latest = open.iter().rfind(|(of, _, _)| of == id);
            assert_eq!(table.connection(id), latest.map(|(_, _, step)| step));
            assert_eq!(table.is_present(id), latest.is_some());
            assert_eq!(listener.believes(id) == Believed::Here, latest.is_some());
            let away = listener.believes(id) == Believed::Away;
            assert_eq!(away, !table.is_present(id) && table.peers.contains_key(id));
        }
    }

    for (_, key, _) in open {
        listener.hear(table.closed(key, false, now));
    }
    while let Some(due) = table.next_deadline() {
        let changes = table.tick(due);
        assert!(!changes.is_empty(), "a deadline is when something happens");
        listener.hear(changes);
    }
    for id in &ids {
        assert_eq!(listener.believes(id), Believed::Unknown, "{id} departed");
    }
    assert!(table.peers.is_empty());
}
