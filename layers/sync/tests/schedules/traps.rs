//! Where the reference is wrong, and this side heals: each in a few steps, between two peers.
//!
//! A failure shows what the two hold when nothing is on its way any more, or that something always is.

use kyneta_uds_core::{ChannelMsg, DocId, Interest, Version};
use kyneta_uds_sync::{Answer, ChannelKey, Policy, SyncLimits};

use crate::{
    content::Content,
    node::{Kind, Node},
};

const WIRE: ChannelKey = ChannelKey(1);

struct Pair {
    a: Node,
    b: Node,
}

impl Pair {
    fn new() -> Self {
        let (a, b) = (Node::new(1, Kind::Opens), Node::new(2, Kind::Opens));
        Self { a, b }
    }

    fn connect(&mut self) {
        self.a.connect(WIRE, "b");
        self.b.connect(WIRE, "a");
    }

    fn cut(&mut self) {
        self.a.lose(WIRE);
        self.b.lose(WIRE);
    }

    /// Passes all messages; returns how many.
    fn pass(&mut self) -> usize {
        for passed in 0..1_000 {
            if let Some((_, msg)) = self.a.sent.pop_front() {
                self.b.receive(WIRE, msg);
            } else if let Some((_, msg)) = self.b.sent.pop_front() {
                self.a.receive(WIRE, msg);
            } else {
                return passed;
            }
        }
        panic!("it is not quiet");
    }

    fn is_equal(&self, doc: &DocId) -> bool {
        self.a.docs[doc] == self.b.docs[doc]
    }
}

fn doc(name: &str) -> DocId {
    DocId::new(name).unwrap()
}

fn codes(node: &Node) -> Vec<&'static str> {
    node.reports.iter().map(|report| report.code()).collect()
}

#[test]
fn a_lost_push_is_asked_for_when_the_next_one_comes() {
    for name in ["c", "s"] {
        let (mut pair, doc) = (Pair::new(), doc(name));
        pair.a.open(name);
        pair.connect();
        pair.pass();
        pair.a.edit(&doc, 1);
        pair.a.sent.clear(); // lost
        pair.a.edit(&doc, 2);
        pair.pass();
        assert!(pair.is_equal(&doc), "{name}");
        assert_eq!(codes(&pair.b), ["gap"], "{name}");
    }
}

#[test]
fn a_peer_that_always_leaves_gaps_is_asked_less_and_less_often() {
    let (mut pair, doc) = (Pair::new(), doc("s"));
    pair.a.open("s");
    pair.connect();
    pair.pass();
    pair.a.edit(&doc, 1);
    pair.a.sent.clear();
    let mut asked = 0;
    for now in 0..100 {
        pair.a.edit(&doc, now);
        let (_, push) = pair.a.sent.pop_front().unwrap();
        pair.b.receive(WIRE, push);
        asked += pair.b.sent.drain(..).count();
    }
    assert_eq!(asked, 7); // 1, 2, 4 ... 64
}

#[test]
fn a_change_is_not_pushed_to_a_peer_whose_version_is_not_known() {
    let (mut pair, doc) = (Pair::new(), doc("s"));
    pair.a.open("s");
    pair.connect();
    pair.pass();
    pair.cut();
    pair.a.edit(&doc, 1); // it misses this one
    pair.a.connect(WIRE, "b");
    pair.a.sent.clear();
    pair.a.edit(&doc, 2);
    assert!(pair.a.sent.is_empty(), "{:?}", pair.a.sent);
    pair.cut();
    pair.connect();
    pair.pass();
    assert!(pair.is_equal(&doc) && codes(&pair.b).is_empty());
}

#[test]
fn a_history_that_is_refused_is_answered_with_the_one_here_once() {
    for both_refuse in [false, true] {
        let (mut pair, doc) = (Pair::new(), doc("s"));
        for node in [&mut pair.a, &mut pair.b] {
            node.open("s");
            node.edit(&doc, 1);
        }
        // By its version alone that of `a` would stay, and it takes any.
        let refuses = Policy::new().can_accept(|_, _| false);
        pair.b.machine.policies().add(refuses.clone());
        let other = match both_refuse {
            true => refuses,
            false => Policy::new().can_reset(|_, _| true),
        };
        pair.a.machine.policies().add(other);
        pair.connect();
        assert!(pair.pass() < 20);
        let lineage = |node: &Node| match &node.docs[&doc] {
            Content::Serialized { lineage, .. } => *lineage,
            other => panic!("{other:?}"),
        };
        let a = if both_refuse { 1 } else { 2 };
        assert_eq!((lineage(&pair.a), lineage(&pair.b)), (a, 2));
        assert!(codes(&pair.b).contains(&"offer-refused"));
    }
}

#[test]
fn of_two_histories_that_began_apart_the_same_one_stays_on_both_sides() {
    for policy in [None, Some("a"), Some("b")] {
        let (mut pair, doc) = (Pair::new(), doc("s"));
        for node in [&mut pair.a, &mut pair.b] {
            node.open("s");
            node.edit(&doc, 1);
        }
        let keeps = |_: &DocId, _: &_| Answer::No;
        match policy {
            Some("a") => pair
                .a
                .machine
                .policies()
                .add(Policy::new().can_reset(keeps)),
            Some(_) => {
                pair.b
                    .machine
                    .policies()
                    .add(Policy::new().can_reset(keeps));
                pair.a
                    .machine
                    .policies()
                    .add(Policy::new().can_reset(|_, _| true));
            }
            None => {}
        }
        pair.connect();
        pair.pass();
        let stays = if policy == Some("b") { 2 } else { 1 };
        let expected = Content::Serialized {
            lineage: stays,
            log: vec![(stays, 1)],
        };
        assert_eq!(
            (&pair.a.docs[&doc], &pair.b.docs[&doc]),
            (&expected, &expected),
            "{policy:?}"
        );
    }
}

#[test]
fn a_document_is_ready_when_its_data_has_come() {
    for name in ["c", "s", "e"] {
        let (mut pair, doc) = (Pair::new(), doc(name));
        pair.a.open(name);
        pair.a.edit(&doc, 1);
        pair.b.open(name);
        pair.connect();
        while pair.b.ready.is_empty() {
            let (_, msg) = pair.a.sent.pop_front().expect("never ready");
            pair.b.receive(WIRE, msg);
            let is_ready = !pair.b.ready.is_empty();
            assert_eq!(is_ready, pair.is_equal(&doc), "{name}");
            while let Some((_, msg)) = pair.b.sent.pop_front() {
                pair.a.receive(WIRE, msg);
            }
        }
    }
}

#[test]
fn a_destroyed_document_does_not_come_back_by_itself() {
    let (mut pair, doc) = (Pair::new(), doc("c"));
    pair.a.open("c");
    pair.connect();
    pair.pass();
    assert!(pair.b.docs.contains_key(&doc));
    pair.b.destroy(&doc);
    pair.cut();
    pair.connect();
    pair.pass();
    assert!(!pair.b.docs.contains_key(&doc));
    assert_eq!(codes(&pair.b), ["destroyed"]);
    pair.b.open("c");
    pair.pass();
    assert!(pair.is_equal(&doc));
}

#[test]
fn a_snapshot_goes_round_a_triangle_once() {
    let mut nodes = [1, 2, 3].map(|number| Node::new(number, Kind::Opens));
    let key = |a: usize, b: usize| ChannelKey((a + b) as u64);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        nodes[a].connect(key(a, b), &b.to_string());
        nodes[b].connect(key(a, b), &a.to_string());
    }
    nodes[0].open("e");
    let mut now = 0;
    for edits in [0, 1] {
        if edits == 1 {
            now += 1;
            nodes[0].edit(&doc("e"), now);
        }
        let mut passed = 0;
        while let Some(from) = nodes.iter().position(|node| !node.sent.is_empty()) {
            let (channel, msg) = nodes[from].sent.pop_front().unwrap();
            let to = usize::try_from(channel.0).unwrap() - from;
            nodes[to].receive(channel, msg);
            passed += 1;
            assert!(passed < 100, "it is not quiet");
        }
    }
    assert!(
        nodes
            .iter()
            .all(|node| node.docs[&doc("e")] == nodes[0].docs[&doc("e")])
    );
}

#[test]
fn a_suspended_document_keeps_all_its_schemas() {
    let mut pair = Pair::new();
    let mut entry = crate::content::entry("c");
    let hash = |text: &str| kyneta_uds_core::SchemaHash::new(text).unwrap();
    entry.schema = hash("02cd");
    entry.supported = Some(vec![hash("02cd"), hash("02ab")]);
    pair.a.docs.insert(doc("c"), Content::empty("c"));
    let held = kyneta_uds_sync::Held::Interpreted;
    let version = Version::default();
    pair.a
        .act(|machine, out| machine.open(entry.clone(), held, version, out));
    pair.a.act(|machine, out| machine.suspend(&doc("c"), out));
    pair.a.connect(WIRE, "b");
    pair.a.act(|machine, out| machine.resume(&doc("c"), out));
    assert_eq!(pair.a.sent[0].1, ChannelMsg::Present(vec![entry]));
}

#[test]
fn documents_beyond_the_limit_are_refused_and_the_peer_is_told() {
    let mut pair = Pair::new();
    let limits = SyncLimits::default().max_opened_by_peer(2);
    pair.b.machine = kyneta_uds_sync::SyncMachine::new(crate::content::ToyVersions).limits(limits);
    pair.b.learn();
    for name in ["c1", "c2", "c3", "c4"] {
        pair.a.open(name);
    }
    pair.connect();
    pair.pass();
    assert_eq!(pair.b.docs.len(), 2);
    assert_eq!(
        codes(&pair.b)[..2],
        ["too-many-documents", "too-many-documents"]
    );
    assert!(pair.a.machine.is_ready(&doc("c3")), "it was not told");
    pair.b.destroy(&doc("c1"));
    assert_eq!(pair.b.machine.counts().opened, 1);
}

#[test]
fn a_peer_that_is_away_too_long_is_forgotten() {
    let mut node = Node::new(1, Kind::Opens);
    node.machine = kyneta_uds_sync::SyncMachine::new(crate::content::ToyVersions)
        .limits(SyncLimits::default().max_away(3));
    node.open("c");
    for peer in 0..10 {
        node.connect(WIRE, &peer.to_string());
        let interest = Interest::new(doc("c")).reciprocate(true);
        node.receive(WIRE, interest.into());
        node.lose(WIRE);
    }
    let counts = node.machine.counts();
    assert_eq!((counts.peers, counts.states), (3, 3));
    assert_eq!(codes(&node).len(), 7);
}
