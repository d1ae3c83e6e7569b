//! Whole sessions: the edits are made here, the offers of the reference are taken in their order, and what is sent here
//! in their place holds the same.

use std::collections::{HashMap, VecDeque};

use kyneta_uds_core::{DocId, PayloadKind, PeerId, WireVersion};
use kyneta_uds_exchange::{Imported, Replica, Take};
use kyneta_uds_schema::{DocVersion, Schema, Substrate, yjs_client_id};
use kyneta_uds_yjs::YjsReplica;
use serde_json::Value;

use crate::support::{edit, json, offer, value, vectors};

type Key = (String, String);

/// The documents of a session, by Exchange and name, and what is under way.
struct Session<'v> {
    name: String,
    wire: WireVersion,
    ids: &'v Value,
    types: &'v Value,
    refuses: &'v Value,
    replicas: HashMap<Key, YjsReplica>,
    queue: VecDeque<Vec<Value>>,
    offers: usize,
    gaps: usize,
    same_bytes: usize,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Session<'_> {
    fn version(&self, text: &Value) -> DocVersion {
        DocVersion::parse(Substrate::Yjs, self.wire, text.as_str().unwrap()).unwrap()
    }

    fn replica(&mut self, peer: &str, doc: &str) -> &mut YjsReplica {
        // A document that was not opened is held without a schema, or announced alone.
        self.replicas
            .entry((peer.to_owned(), doc.to_owned()))
            .or_insert_with(YjsReplica::headless)
    }

    fn open(&mut self, key: Key, type_name: &str) {
        let id = PeerId::new(self.ids[&key.0].as_str().unwrap()).unwrap();
        let schema = Schema::parse(&self.types[type_name].to_string()).unwrap();
        let mut opened = YjsReplica::open(schema, yjs_client_id(&id)).unwrap();
        if let Some(held) = self.replicas.remove(&key) {
            let held = held.export(None, self.wire).unwrap();
            let held = held.offer(DocId::new("d").unwrap()).unwrap();
            opened.import(&held, self.wire, Take::Merge).unwrap();
        }
        self.replicas.insert(key, opened);
    }

    fn step(&mut self, step: &Value) {
        let field = |name: &str| step[name].as_str().unwrap_or_default();
        let (peer, doc) = (field("peer"), field("doc"));
        let key = (peer.to_owned(), doc.to_owned());
        match field("do") {
            "open" => self.open(key, field("type")),
            "edit" => {
                let ops = step["ops"].as_array().unwrap().iter();
                let edits: Vec<_> = ops.map(|op| edit(op).unwrap()).collect();
                let made = self.replica(peer, doc).edit(&edits);
                assert_eq!(made, Ok(true), "{} {step}", self.name);
            }
            "crash" | "stop" => self.replicas.retain(|(at, _), _| at != peer),
            "destroy" => drop(self.replicas.remove(&key)),
            "disconnect" => {
                let between = &step["between"];
                self.queue.retain(|sent| {
                    !(between.as_array().unwrap().contains(&sent[0])
                        && between.as_array().unwrap().contains(&sent[1]))
                });
            }
            _ => {}
        }
        for sent in step["sent"].as_array().into_iter().flatten() {
            self.sent(sent.as_array().unwrap());
        }
        if matches!(field("do"), "run" | "stop") {
            while self.deliver() {}
        }
    }

    /// The reference sends: what it had taken before is taken, and what would be sent here is compared.
    fn sent(&mut self, sent: &[Value]) {
        let (from, to, doc) = (text(&sent[0]), text(&sent[1]), text(&sent[2]));
        let wire = self.wire;
        let at = self.version(&sent[5]);
        while self.replica(&from, &doc).version(wire) != at {
            assert!(self.deliver(), "{}: {from} is never at {at}", self.name);
        }
        // What is newer than what the receiver holds, or all.
        let since = (sent[3] == "since").then(|| self.replica(&to, &doc).version(wire));
        let ours = self
            .replica(&from, &doc)
            .export(since.as_ref(), wire)
            .unwrap();
        assert_eq!(ours.version, at, "{}", self.name);
        self.same_bytes +=
            usize::from(hex::encode(ours.data.as_slice()) == sent[4].as_str().unwrap());
        self.offers += 1;
        if sent.len() == 6 {
            self.queue.push_back(sent.to_vec());
        }
    }

    fn deliver(&mut self) -> bool {
        let Some(sent) = self.queue.pop_front() else {
            return false;
        };
        let (to, doc) = (text(&sent[1]), text(&sent[2]));
        let refuses = self.refuses[&to].as_array().into_iter().flatten();
        if refuses
            .into_iter()
            .any(|pair| pair[0] == sent[2] && pair[1] == sent[0])
        {
            return true;
        }
        let kind = match sent[3] == "since" {
            true => PayloadKind::Since,
            false => PayloadKind::Entirety,
        };
        let offer = offer(kind, sent[4].as_str().unwrap(), sent[5].as_str().unwrap());
        let (name, wire) = (self.name.clone(), self.wire);
        let taken = self.replica(&to, &doc).import(&offer, wire, Take::Merge);
        match taken {
            Ok(Imported::All { refused: 0 }) => {}
            Ok(Imported::Gap) => self.gaps += 1,
            other => panic!("{name} {other:?} {sent:?}"),
        }
        true
    }
}

const RESTARTED: [&str; 3] = [
    "pad/restart-without-store",
    "pad/restart-edits-before-sync",
    "pad/destroy-and-open-again",
];

#[test]
fn sessions_of_the_reference_come_to_the_same_documents() {
    let vectors = vectors("exchange-yjs.json");
    let (mut sessions, mut restarted) = (0, 0);
    let (mut offers, mut gaps, mut same_bytes) = (0, 0, 0);
    for case in &vectors[2..] {
        // There Yjs meets operations under its own client id, and draws another id at random.
        if RESTARTED.iter().any(|name| case["name"] == *name) {
            restarted += 1;
            continue;
        }
        let release = case["release"].to_string();
        let mut session = Session {
            wire: match release.as_str() {
                "1" => WireVersion::V2,
                _ => WireVersion::V3,
            },
            name: format!("{} of release {release}", case["name"]),
            ids: &case["ids"],
            types: &vectors[1][&release],
            refuses: &case["refuses"],
            replicas: HashMap::new(),
            queue: VecDeque::new(),
            offers: 0,
            gaps: 0,
            same_bytes: 0,
        };
        for step in case["steps"].as_array().unwrap() {
            session.step(step);
        }
        for (peer, documents) in case["final"].as_object().unwrap() {
            for (doc, held) in documents.as_object().unwrap() {
                let (name, wire) = (session.name.clone(), session.wire);
                if let Some(type_name) = held.get(2) {
                    session.open((peer.clone(), doc.clone()), type_name.as_str().unwrap());
                }
                let at = session.version(&held[0]);
                let replica = session.replica(peer, doc);
                assert_eq!(value(replica), json(&held[1]), "{name} {peer} {doc}");
                assert_eq!(replica.version(wire), at, "{name} {peer} {doc}");
            }
        }
        sessions += 1;
        offers += session.offers;
        gaps += session.gaps;
        same_bytes += session.same_bytes;
    }
    assert_eq!(
        (sessions, restarted, offers, gaps, same_bytes),
        (50, 6, 417, 3, 246)
    );
}
