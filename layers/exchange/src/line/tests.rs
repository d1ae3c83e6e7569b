//! Both peers of a line over replicas, in random orders and with restarts; and what a peer may be told.
//!
//! A failure says the seed of the order.

use super::*;
use crate::{DocKind, DocLimits, DocReplica, Edit, Json, JsonKind, Moment, Take};
use kyneta_uds_core::{DocId, WireVersion};
use kyneta_uds_schema::{DocVersion, Schema};

const WIRE: WireVersion = WireVersion::V3;

/// A peer of a line: both documents, as replicas.
struct Peer {
    machine: LineMachine,
    outbox: Box<dyn DocReplica>,
    inbox: Box<dyn DocReplica>,
    got: Vec<String>,
    random: u64,
}

fn replica() -> Box<dyn DocReplica> {
    let schema = LineForm::Release2.schema(Schema::string()).unwrap();
    JsonKind.open(&schema, DocLimits::default(), 0).unwrap()
}

fn lineage(doc: &dyn DocReplica) -> Option<String> {
    match doc.version(WIRE) {
        DocVersion::Plain(version) if version.is_of_a_lineage() => {
            version.lineage().map(|lineage| lineage.as_str().to_owned())
        }
        _ => None,
    }
}

impl Peer {
    fn new(random: u64) -> Self {
        let outbox = replica();
        Self {
            machine: LineMachine::new(LineForm::Release2, &outbox.value()),
            outbox,
            inbox: replica(),
            got: Vec::new(),
            random,
        }
    }

    fn edit(&mut self, edits: &[Edit]) {
        let (now_ms, random) = (0, self.random);
        self.outbox.edit(edits, Moment { now_ms, random }).unwrap();
    }

    fn send(&mut self, text: &str) {
        let edits = self.machine.send(text.into());
        self.edit(&edits);
        self.machine.sent();
    }

    /// Reads up to `room` messages, and says so.
    fn read(&mut self, room: usize) {
        let (value, lineage) = (self.inbox.value(), lineage(&*self.inbox));
        let state = LineState {
            value: &value,
            lineage: lineage.as_deref(),
        };
        let mut out = Vec::new();
        self.machine.deliver(state, room, &mut out);
        for delivery in &out {
            self.got.push(match &delivery.what {
                Delivered::Message(Json::String(text)) => text.clone(),
                other => format!("{other:?}"),
            });
        }
        if let Some(edits) = out.last().and_then(|last| self.machine.processed(last)) {
            self.edit(&edits);
        }
    }

    fn remove(&mut self) {
        let (value, lineage_in, lineage_out) = (
            self.inbox.value(),
            lineage(&*self.inbox),
            lineage(&*self.outbox),
        );
        let state = LineState {
            value: &value,
            lineage: lineage_in.as_deref(),
        };
        if let Some(edits) = self.machine.remove(state, lineage_out.as_deref()) {
            self.edit(&edits);
        }
    }
}

/// What `from` has written comes to `to`.
fn pass(from: &Peer, to: &mut Peer) {
    let here = to.inbox.version(WIRE);
    let Some(mut payload) = from.outbox.export(Some(&here), WIRE) else {
        return;
    };
    let mut how = Take::Merge;
    if lineage(&*to.inbox).is_some() && lineage(&*to.inbox) != lineage(&*from.outbox) {
        payload = from.outbox.export(None, WIRE).unwrap();
        how = Take::Replace;
    }
    let offer = payload.offer(DocId::new("d").unwrap()).unwrap();
    to.inbox.import(&offer, WIRE, how).unwrap();
}

/// A small generator of random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn whatever_the_order_each_message_comes_once_and_in_order_and_the_outboxes_become_empty() {
    for seed in 1..=60 {
        let mut random = Random(seed);
        let mut peers = [Peer::new(seed * 2), Peer::new(seed * 2 + 1)];
        let mut sent = [Vec::new(), Vec::new()];
        for step in 0..200 {
            let at = (random.below(2)) as usize;
            let [a, b] = &mut peers;
            let (one, other) = if at == 0 { (a, b) } else { (b, a) };
            match random.below(6) {
                0 | 1 => {
                    one.send(&step.to_string());
                    sent[at].push(step.to_string());
                }
                2 => one.read(random.below(4) as usize),
                3 => one.remove(),
                // The process starts again, with its documents: what was not processed comes again.
                4 if random.below(4) == 0 => {
                    one.machine = LineMachine::new(LineForm::Release2, &one.outbox.value());
                }
                _ => pass(one, other),
            }
        }
        let [a, b] = &mut peers;
        for _ in 0..4 {
            pass(a, b);
            pass(b, a);
            for peer in [&mut *a, &mut *b] {
                peer.read(1000);
                peer.remove();
            }
        }
        assert_eq!((&b.got, &a.got), (&sent[0], &sent[1]), "seed {seed}");
        assert_eq!(
            (a.machine.waiting(), b.machine.waiting()),
            (0, 0),
            "seed {seed}"
        );
        for peer in &peers {
            let left = peer.outbox.value().get("messages").cloned();
            assert_eq!(left, Some(Json::Array(Vec::new())), "seed {seed}");
        }
    }
}

#[test]
fn a_sender_or_a_receiver_that_starts_again_without_its_documents_loses_and_repeats_nothing() {
    let [mut a, mut b] = [Peer::new(1), Peer::new(2)];
    a.send("one");
    pass(&a, &mut b);
    b.read(9);
    // The sender: its numbers start again at 1.
    a = Peer::new(3);
    a.send("again one");
    pass(&b, &mut a);
    a.remove();
    assert_eq!(
        a.machine.waiting(),
        1,
        "the acknowledgement is of the former history"
    );
    pass(&a, &mut b);
    b.read(9);
    pass(&b, &mut a);
    a.remove();
    assert_eq!(
        (b.got, a.machine.waiting()),
        (vec!["one".into(), "again one".into()], 0)
    );
    // The receiver: what it had processed is not there any more.
    a.send("two");
    b = Peer::new(4);
    pass(&a, &mut b);
    b.read(9);
    pass(&b, &mut a);
    a.remove();
    assert_eq!((b.got, a.machine.waiting()), (vec!["two".to_owned()], 0));
}

#[test]
fn what_is_no_message_and_what_is_missing_is_reported_once() {
    let mut machine = LineMachine::new(LineForm::Release2, &Json::Null);
    let mut deliver = |text: &str, room| {
        let value = Json::parse(text).unwrap();
        let mut out = Vec::new();
        let lineage = Some("l");
        machine.deliver(
            LineState {
                value: &value,
                lineage,
            },
            room,
            &mut out,
        );
        out.into_iter()
            .map(|it| (it.what, it.seq))
            .collect::<Vec<_>>()
    };
    let (one, text) = (Json::Number(1.0), Json::from("x"));
    let first = r#"{"messages":[{"seq":1,"payload":1},"x",{"seq":-1},{"seq":0.5}]}"#;
    assert_eq!(
        deliver(first, 2),
        [
            (Delivered::Message(one), 1),
            (Delivered::NoMessage(text), 1)
        ]
    );
    assert_eq!(deliver(first, 9).len(), 2);
    assert_eq!(deliver(first, 9), []);
    assert_eq!(
        deliver(r#"{"messages":[{"seq":4}]}"#, 9),
        [
            (Delivered::Missed(2), 3),
            (Delivered::Message(Json::Null), 4)
        ]
    );
    for nonsense in [
        "1",
        "{}",
        r#"{"messages":{"seq":9}}"#,
        r#"{"messages":[{"seq":1e300}]}"#,
    ] {
        assert!(deliver(nonsense, 9).len() <= 1, "{nonsense}");
    }
}

#[test]
fn release_1_8_counts_without_a_history() {
    let mut machine = LineMachine::new(LineForm::Release1, &Json::Null);
    let edits = machine.send("a".into());
    assert_eq!((edits.len(), machine.sent(), machine.waiting()), (2, 1, 1));
    let value = Json::parse(r#"{"messages":[{"seq":1,"payload":"b"}],"ack":1}"#).unwrap();
    let state = |lineage| LineState {
        value: &value,
        lineage,
    };
    let mut out = Vec::new();
    machine.deliver(state(None), 9, &mut out);
    machine.deliver(state(Some("other")), 9, &mut out);
    assert_eq!(out.len(), 1);
    let edits = machine.processed(&out[0]).unwrap();
    assert_eq!(edits, [Edit::set("ack", 1.0)]);
    assert_eq!(machine.processed(&out[0]), None);
    assert_eq!(
        machine.remove(state(None), None),
        Some(vec![Edit::delete("messages", 0, 1)])
    );
    assert_eq!((machine.waiting(), machine.processed_there()), (0, 1));
}
