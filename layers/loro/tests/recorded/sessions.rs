//! Whole sessions: the edits are made here, the offers of the reference are taken in their order, and what is sent here
//! in their place holds the same.

use std::collections::{HashMap, VecDeque};

use kyneta_uds_core::{DocId, PayloadKind, PeerId, WireVersion};
use kyneta_uds_exchange::{Imported, Replica, Take};
use kyneta_uds_loro::LoroReplica;
use kyneta_uds_schema::{DocVersion, Schema, Substrate, loro_peer_id};
use loro::{ImportBlobMetadata, LoroDoc};
use serde_json::Value;

use crate::support::{edit, json, offer, value, vectors};

type Key = (String, String);

/// The documents of a session, by Exchange and name, and what is under way.
struct Session<'v> {
    name: String,
    ids: &'v Value,
    types: &'v Value,
    refuses: &'v Value,
    replicas: HashMap<Key, LoroReplica>,
    queue: VecDeque<Vec<Value>>,
    offers: usize,
    gaps: usize,
    same_bytes: usize,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn version(text: &str) -> DocVersion {
    DocVersion::parse(Substrate::Loro, WireVersion::V3, text).unwrap()
}

impl Session<'_> {
    fn replica(&mut self, peer: &str, doc: &str) -> &mut LoroReplica {
        // A document that was not opened is held without a schema, or announced alone.
        self.replicas
            .entry((peer.to_owned(), doc.to_owned()))
            .or_insert_with(LoroReplica::headless)
    }

    fn open(&mut self, key: Key, type_name: &str) {
        let id = PeerId::new(self.ids[&key.0].as_str().unwrap()).unwrap();
        let schema = Schema::parse(&self.types[type_name].to_string()).unwrap();
        let mut opened = LoroReplica::open(schema, loro_peer_id(&id)).unwrap();
        if let Some(held) = self.replicas.remove(&key) {
            let held = held.export(None, WireVersion::V3).unwrap();
            let held = held.offer(DocId::new("d").unwrap()).unwrap();
            opened.import(&held, WireVersion::V3, Take::Merge).unwrap();
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
                if step.get("type").is_some() {
                    self.open(key, field("type"));
                }
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
        let (from, doc) = (text(&sent[0]), text(&sent[2]));
        let at = version(sent[5].as_str().unwrap());
        while self.replica(&from, &doc).version(WireVersion::V3) != at {
            assert!(self.deliver(), "{}: {from} is never at {at}", self.name);
        }
        let bytes = hex::decode(sent[4].as_str().unwrap()).unwrap();
        let theirs = LoroDoc::decode_import_blob_meta(&bytes, true).unwrap();
        // The receiver has what is here, but for what is sent.
        let since = (sent[3] == "since").then(|| {
            let DocVersion::Loro(at) = &at else { panic!() };
            let (start, end) = (&theirs.partial_start_vv, &theirs.partial_end_vv);
            let has = |(peer, count)| match end.get(&peer) {
                Some(_) => (peer, start.get(&peer).copied().unwrap_or_default()),
                None => (peer, count),
            };
            DocVersion::Loro(at.counters().map(has).collect())
        });
        let name = self.name.clone();
        let replica = self.replica(&from, &doc);
        let ours = replica.export(since.as_ref(), WireVersion::V3).unwrap();
        let same_bytes = ours.data.as_slice() == bytes;
        let meta = LoroDoc::decode_import_blob_meta(ours.data.as_slice(), true).unwrap();
        let range = |meta: ImportBlobMetadata| (meta.partial_start_vv, meta.partial_end_vv);
        assert_eq!(range(meta), range(theirs), "{name} {sent:?}");
        self.same_bytes += usize::from(same_bytes);
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
        let name = self.name.clone();
        let taken = self
            .replica(&to, &doc)
            .import(&offer, WireVersion::V3, Take::Merge);
        match taken {
            Ok(Imported::All { refused: 0 }) => {}
            Ok(Imported::Gap) => self.gaps += 1,
            other => panic!("{name} {other:?} {sent:?}"),
        }
        true
    }
}

#[test]
fn sessions_of_the_reference_come_to_the_same_documents() {
    let vectors = vectors("exchange-loro.json");
    let (mut sessions, mut offers, mut gaps, mut same_bytes) = (0, 0, 0, 0);
    for case in &vectors[2..] {
        let release = case["release"].to_string();
        let mut session = Session {
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
                let name = session.name.clone();
                if let Some(type_name) = held.get(2) {
                    session.open((peer.clone(), doc.clone()), type_name.as_str().unwrap());
                }
                let replica = session.replica(peer, doc);
                assert_eq!(value(replica), json(&held[1]), "{name} {peer} {doc}");
                let at = version(held[0].as_str().unwrap());
                assert_eq!(replica.version(WireVersion::V3), at, "{name} {peer} {doc}");
            }
        }
        sessions += 1;
        offers += session.offers;
        gaps += session.gaps;
        same_bytes += session.same_bytes;
    }
    // The library refuses operations of the reference that differ from those of the same name made here. The bytes
    // of the others differ in what they are packed into. A gap follows each message that was lost.
    assert_eq!((sessions, offers, gaps, same_bytes), (105, 898, 7, 851));
}
