//! Inputs and effects as the vectors write them.
//!
//! In: JSON of the vectors, effects. Out: inputs, JSON. What it does not know ends the test.

use kyneta_uds_core::{
    ByteString, ChannelMsg, DocEntry, DocId, Identity, Interest, Offer, PayloadKind, PeerId,
    ReplicaType, SchemaHash, SyncMode, Version,
};
use kyneta_uds_sync::{
    DocEvent, Held, Mismatch, PeerState,
    program::{Effect, Input},
};
use serde_json::{Map, Value, json};

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn doc(id: &Value) -> DocId {
    DocId::new(text(id)).unwrap()
}

fn peer(id: &Value) -> PeerId {
    PeerId::new(text(id)).unwrap()
}

fn version(version: &Value) -> Version {
    Version::new(text(version)).unwrap()
}

fn event(step: &Value) -> Option<DocEvent> {
    Some(match step.get("event")?.as_str()? {
        "doc-created" => DocEvent::Created,
        "doc-promoted" => DocEvent::Promoted,
        "doc-deferred" => DocEvent::Deferred,
        "doc-suspended" => DocEvent::Suspended,
        "doc-resumed" => DocEvent::Resumed,
        "doc-removed" => DocEvent::Removed,
        other => panic!("{other}"),
    })
}

fn entry(doc_id: &Value, of: &Value, mode: SyncMode) -> DocEntry {
    let replica = &of["replicaType"];
    let number = |at: usize| replica[at].as_f64().unwrap();
    let replica = ReplicaType::new(text(&replica[0]).to_owned(), number(1), number(2)).unwrap();
    let hash = |hash: &Value| SchemaHash::new(text(hash)).unwrap();
    let mut entry = DocEntry::new(doc(doc_id), replica, hash(&of["schemaHash"]));
    entry.mode = mode;
    let supported = of.get("supportedHashes").and_then(Value::as_array);
    entry.supported = supported.map(|all| all.iter().map(hash).collect());
    entry
}

const MODES: [(SyncMode, &str, &str, &str); 3] = [
    (
        SyncMode::Collaborative,
        "concurrent",
        "delta-capable",
        "persistent",
    ),
    (
        SyncMode::Authoritative,
        "serialized",
        "delta-capable",
        "persistent",
    ),
    (
        SyncMode::Ephemeral,
        "concurrent",
        "snapshot-only",
        "transient",
    ),
];

fn mode(number: &Value) -> SyncMode {
    MODES[usize::try_from(number.as_u64().unwrap()).unwrap()].0
}

fn number(mode: SyncMode) -> usize {
    MODES.iter().position(|(known, ..)| *known == mode).unwrap()
}

pub(crate) fn input(step: &Value) -> Input {
    let entry = || entry(&step["doc"], step, mode(&step["syncMode"]));
    let doc = || doc(&step["doc"]);
    match text(&step["in"]) {
        "peer-available" => Input::PeerAvailable(Identity::user(text(&step["peer"])).unwrap()),
        "peer-unavailable" => Input::PeerUnavailable(peer(&step["peer"])),
        "peer-departed" => Input::PeerDeparted(peer(&step["peer"])),
        "received" => Input::Received {
            from: peer(&step["from"]),
            msg: message(&step["msg"]),
        },
        "doc-ensure" => Input::Ensure {
            entry: entry(),
            held: match text(&step["mode"]) {
                "interpret" => Held::Interpreted,
                _ => Held::Replicated,
            },
            version: version(&step["version"]),
            event: event(step),
        },
        "doc-defer" => Input::Defer {
            entry: entry(),
            event: event(step),
        },
        "local-change" => Input::LocalChange {
            doc: doc(),
            version: version(&step["version"]),
        },
        "doc-imported" => Input::Imported {
            doc: doc(),
            from: peer(&step["from"]),
            version: version(&step["version"]),
        },
        "peer-synced" => Input::NothingNew {
            doc: doc(),
            from: peer(&step["peer"]),
            version: version(&step["version"]),
        },
        "doc-dismiss" => Input::Dismiss {
            doc: doc(),
            event: event(step),
        },
        "doc-delete" => Input::Delete {
            doc: doc(),
            event: event(step),
        },
        "declare-vacant" => Input::DeclareVacant {
            doc: doc(),
            to: peer(&step["to"]),
        },
        "all-removed" => {
            let docs = step["docs"].as_array().unwrap();
            Input::AllRemoved(
                docs.iter()
                    .map(|id| DocId::new(text(id)).unwrap())
                    .collect(),
            )
        }
        "quiet" => Input::Quiet,
        other => panic!("{other}"),
    }
}

fn message(msg: &Value) -> ChannelMsg {
    let id = || doc(&msg["docId"]);
    let reciprocate = msg.get("reciprocate").map(|r| r.as_bool().unwrap());
    match text(&msg["type"]) {
        "present" => {
            let docs = msg["docs"].as_array().unwrap();
            let one = |entry_of: &Value| {
                let axes = &entry_of["syncMode"];
                let is_it = |(_, writers, delivery, durability): &&(SyncMode, &str, &str, &str)| {
                    (axes["writerModel"] == **writers)
                        && (axes["delivery"] == **delivery)
                        && (axes["durability"] == **durability)
                };
                let (mode, ..) = MODES.iter().find(is_it).unwrap();
                entry(&entry_of["docId"], entry_of, *mode)
            };
            ChannelMsg::Present(docs.iter().map(one).collect())
        }
        "interest" => ChannelMsg::Interest(Interest {
            doc: id(),
            version: msg.get("version").map(version),
            reciprocate,
        }),
        "offer" => {
            let payload = &msg["payload"];
            assert_eq!(payload["encoding"], "json");
            let data = ByteString::from(text(&payload["data"]));
            let mut offer = Offer::json(id(), version(&msg["version"]), data);
            if payload["kind"] == "since" {
                offer = offer.delta();
            }
            offer.reciprocate = reciprocate;
            ChannelMsg::Offer(offer)
        }
        "dismiss" => ChannelMsg::Dismiss(id()),
        "vacant" => ChannelMsg::Vacant(id()),
        other => panic!("{other}"),
    }
}

/// An effect as the vectors have it; `None` for one that the reference does not have.
pub(crate) fn effect(effect: &Effect, wire: u64) -> Option<Value> {
    Some(match effect {
        Effect::Send { to, msg } => {
            json!({"out": "send", "to": peers(to), "msg": message_json(msg)})
        }
        Effect::Offer {
            to,
            doc,
            since,
            reciprocate,
        } => {
            let mut offer = json!({"out": "offer", "to": peers(to), "doc": doc.as_str()});
            let offer_fields = offer.as_object_mut().unwrap();
            optional(
                offer_fields,
                "since",
                since.as_ref().map(|v| json!(v.as_str())),
            );
            optional(offer_fields, "reciprocate", reciprocate.map(Value::from));
            offer
        }
        Effect::Import { from, offer } => json!({
            "out": "import",
            "doc": offer.doc.as_str(),
            "payload": payload(offer),
            "version": offer.version.as_str(),
            "from": from.as_str(),
        }),
        Effect::NotAccepted { .. } => return None,
        Effect::Unknown { peer, entry } => {
            let mut unknown = entry_json(entry, json!(number(entry.mode)), "doc");
            unknown["out"] = json!("unknown-doc");
            unknown["peer"] = json!(peer.as_str());
            unknown
        }
        Effect::Dismissed { peer, doc } => {
            json!({"out": "dismissed", "doc": doc.as_str(), "peer": peer.as_str()})
        }
        Effect::Mismatch {
            what, peer, local, ..
        } => {
            let what = match what {
                Mismatch::ReplicaType => "replica-type",
                Mismatch::SchemaHash => "schema-hash",
                Mismatch::SyncMode => "sync-mode",
                other => panic!("{other:?}"),
            };
            let mut mismatch = json!({"out": "mismatch", "what": what, "doc": local.doc.as_str()});
            // 1.8.0 has it in a text alone.
            if wire == 3 {
                mismatch["peer"] = json!(peer.as_str());
            }
            mismatch
        }
        Effect::PeerStatesChanged(docs) => json!({"out": "peer-states-changed", "docs": ids(docs)}),
        Effect::Advanced(docs) => json!({"out": "state-advanced", "docs": ids(docs)}),
        Effect::DocEvents(events) => {
            let event = |(event, doc): &(DocEvent, DocId)| json!({"event": event_name(*event), "doc": doc.as_str()});
            json!({"out": "doc-events", "events": events.iter().map(event).collect::<Vec<_>>()})
        }
        other => panic!("{other:?}"),
    })
}

fn event_name(event: DocEvent) -> &'static str {
    match event {
        DocEvent::Created => "doc-created",
        DocEvent::Promoted => "doc-promoted",
        DocEvent::Deferred => "doc-deferred",
        DocEvent::Suspended => "doc-suspended",
        DocEvent::Resumed => "doc-resumed",
        DocEvent::Removed => "doc-removed",
        other => panic!("{other:?}"),
    }
}

fn peers(peers: &[PeerId]) -> Vec<&str> {
    peers.iter().map(PeerId::as_str).collect()
}

fn ids(docs: &[DocId]) -> Vec<&str> {
    docs.iter().map(DocId::as_str).collect()
}

fn optional(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    fields.extend(value.map(|value| (name.to_owned(), value)));
}

fn payload(offer: &Offer) -> Value {
    let kind = match offer.kind {
        PayloadKind::Entirety => "entirety",
        PayloadKind::Since => "since",
    };
    let data = std::str::from_utf8(offer.data.as_slice()).unwrap();
    json!({"kind": kind, "encoding": "json", "data": data})
}

/// An entry, with its mode as given and its id under a name.
pub(crate) fn entry_json(entry: &DocEntry, mode: Value, id: &str) -> Value {
    let replica = &entry.replica;
    let whole = |number: f64| json!(number as u64);
    let mut json = json!({
        "replicaType": [replica.name.as_str(), whole(replica.major), whole(replica.minor)],
        "syncMode": mode,
        "schemaHash": entry.schema.as_str(),
    });
    json[id] = json!(entry.doc.as_str());
    if let Some(all) = &entry.supported {
        json["supportedHashes"] = all.iter().map(SchemaHash::as_str).collect();
    }
    json
}

fn message_json(msg: &ChannelMsg) -> Value {
    match msg {
        ChannelMsg::Present(entries) => {
            let one = |entry: &DocEntry| {
                let (_, writers, delivery, durability) = MODES[number(entry.mode)];
                let mode =
                    json!({"writerModel": writers, "delivery": delivery, "durability": durability});
                entry_json(entry, mode, "docId")
            };
            json!({"type": "present", "docs": entries.iter().map(one).collect::<Vec<_>>()})
        }
        ChannelMsg::Interest(interest) => {
            let mut json = json!({"type": "interest", "docId": interest.doc.as_str()});
            let fields = json.as_object_mut().unwrap();
            let version = interest.version.as_ref();
            optional(fields, "version", version.map(|v| json!(v.as_str())));
            optional(fields, "reciprocate", interest.reciprocate.map(Value::from));
            json
        }
        ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => {
            json!({"type": msg.kind(), "docId": doc.as_str()})
        }
        other => panic!("a program sends no {other:?}"),
    }
}

pub(crate) fn state(state: &PeerState) -> Value {
    match state {
        PeerState::Pending => json!({"status": "pending"}),
        PeerState::Synced(version) => json!({"status": "synced", "version": version.as_str()}),
        PeerState::Vacant => json!({"status": "vacant"}),
    }
}

pub(crate) fn document(entry: &DocEntry, held: Option<Held>, version: &Version) -> Value {
    let mut json = entry_json(entry, json!(number(entry.mode)), "doc");
    json["mode"] = json!(match held {
        Some(Held::Interpreted) => "interpret",
        Some(Held::Replicated) => "replicate",
        None => "deferred",
    });
    json["version"] = json!(version.as_str());
    json
}
