//! Messages and their JSON form, with the reference's field names.
//!
//! In: JSON of the vectors, results of the codec. Out: messages, JSON. What it does not know ends the test.

use bytes::Bytes;
use kyneta_uds_core::{
    ByteString, ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Features, Identity,
    Interest, Lineage, Name, Offer, PayloadKind, PeerId, PeerType, ProtocolVersion, Rejection,
    ReplicaType, SchemaHash, SyncMode, Version,
};
use serde_json::{Map, Value, json};

use crate::vectors::{gen_bytes, gen_text, list};

type Error = Box<dyn std::error::Error>;

/// An error for a message that our types cannot represent.
pub(crate) fn to_message(msg: &Value) -> Result<ChannelMsg, Error> {
    let doc = || DocId::new(text(&msg["docId"]));
    Ok(match msg["type"].as_str().expect("a type") {
        "establish" => ChannelMsg::Establish(establish(msg)?),
        "depart" => ChannelMsg::Depart,
        "present" => ChannelMsg::Present(
            list(&msg["docs"])
                .iter()
                .map(entry)
                .collect::<Result<_, _>>()?,
        ),
        "interest" => ChannelMsg::Interest(Interest {
            doc: doc()?,
            version: optional(msg, "version").map(Version::new).transpose()?,
            reciprocate: msg["reciprocate"].as_bool(),
        }),
        "offer" => ChannelMsg::Offer(offer(msg, doc()?)?),
        "dismiss" => ChannelMsg::Dismiss(doc()?),
        "vacant" => ChannelMsg::Vacant(doc()?),
        other => panic!("unknown type {other}"),
    })
}

fn establish(msg: &Value) -> Result<Establish, Error> {
    let identity = &msg["identity"];
    let peer_type = PeerType::from_name(identity["type"].as_str().expect("a peer type"));
    let version = &msg["protocolVersion"];
    Ok(Establish {
        identity: Identity {
            peer_id: PeerId::new(text(&identity["peerId"]))?,
            name: optional(identity, "name").map(Name::new).transpose()?,
            peer_type: peer_type.expect("a peer type"),
        },
        features: msg.get("features").map(|features| Features {
            alias: features["alias"].as_bool(),
            streamed: features["streamed"].as_bool(),
            datagram: features["datagram"].as_bool(),
        }),
        protocol: match (version["major"].as_u64(), version["minor"].as_u64()) {
            (Some(major), Some(minor)) => ProtocolVersion::new(major, minor)?,
            _ => ProtocolVersion::default(),
        },
        observe: None,
    })
}

fn entry(entry: &Value) -> Result<DocEntry, Error> {
    let [name, major, minor] = list(&entry["replicaType"]) else {
        panic!("a replica type")
    };
    let mode = match entry["syncMode"]["writerModel"].as_str() {
        Some("serialized") => SyncMode::Authoritative,
        _ if entry["syncMode"]["durability"] == "transient" => SyncMode::Ephemeral,
        _ => SyncMode::Collaborative,
    };
    let hashes = entry.get("supportedHashes").map(list);
    Ok(DocEntry {
        doc: DocId::new(text(&entry["docId"]))?,
        replica: ReplicaType::new(text(name), number(major), number(minor))?,
        mode,
        schema: SchemaHash::new(text(&entry["schemaHash"]))?,
        supported: hashes
            .map(|hashes| {
                hashes
                    .iter()
                    .map(|hash| SchemaHash::new(text(hash)))
                    .collect()
            })
            .transpose()?,
    })
}

fn offer(msg: &Value, doc: DocId) -> Result<Offer, Error> {
    let payload = &msg["payload"];
    let data = &payload["data"];
    Ok(Offer {
        doc,
        kind: match payload["kind"].as_str() {
            Some("since") => PayloadKind::Since,
            _ => PayloadKind::Entirety,
        },
        encoding: match payload["encoding"].as_str() {
            Some("json") => Encoding::Json,
            _ => Encoding::Binary,
        },
        data: if let Some(hex) = data["$bytes"].as_str() {
            Data::Bytes(hex::decode(hex).expect("hex").into())
        } else if let Some(n) = data["$genBytes"].as_u64() {
            Data::Bytes(gen_bytes(n).into())
        } else {
            Data::Text(text(data))
        },
        version: Version::new(text(&msg["version"]))?,
        reciprocate: msg["reciprocate"].as_bool(),
        lineage: optional(payload, "lineage").map(Lineage::new).transpose()?,
        base: None,
    })
}

fn text(value: &Value) -> ByteString {
    match value.as_str() {
        Some(text) => text.into(),
        None => gen_text(value["$genText"].as_u64().expect("a text")).into(),
    }
}

fn optional(outer: &Value, key: &str) -> Option<ByteString> {
    outer.get(key).map(text)
}

fn number(value: &Value) -> f64 {
    match value["$num"].as_str() {
        Some("-0") => -0.0,
        Some(text) => text.parse().expect("a number"),
        None => value.as_f64().expect("a number"),
    }
}

/// The result of decoding in the form in which the vectors compare: a message by all its fields, an error by its
/// code and subcode.
pub(crate) fn result(result: &Result<ChannelMsg, Rejection>) -> Value {
    match result {
        Ok(msg) => json!({ "ok": from_message(msg) }),
        Err(rejection) => error(rejection.code(), rejection.sub()),
    }
}

pub(crate) fn error(code: &str, sub: Option<&str>) -> Value {
    json!({ "error": { "code": code, "sub": sub } })
}

/// The reference's result in the same form.
pub(crate) fn expected(result: &Value) -> Value {
    match result.get("ok") {
        Some(msg) => json!({ "ok": normal(msg) }),
        None => {
            let code = result["error"]["code"].as_str().expect("a code");
            error(code, result["error"]["sub"].as_str())
        }
    }
}

fn from_message(msg: &ChannelMsg) -> Value {
    let mut out = Map::new();
    out.insert("type".into(), msg.kind().into());
    match msg {
        ChannelMsg::Establish(msg) => {
            let mut identity = Map::new();
            identity.insert("peerId".into(), msg.identity.peer_id.as_str().into());
            identity.insert("type".into(), msg.identity.peer_type.name().into());
            put(&mut identity, "name", msg.identity.name.as_deref());
            out.insert("identity".into(), identity.into());
            put(&mut out, "features", msg.features.as_ref().map(features));
            if msg.protocol != ProtocolVersion::default() {
                let (major, minor) = (msg.protocol.major() as f64, msg.protocol.minor() as f64);
                let version = json!({ "major": bits(major), "minor": bits(minor) });
                out.insert("protocolVersion".into(), version);
            }
        }
        ChannelMsg::Depart => {}
        ChannelMsg::Present(docs) => {
            out.insert("docs".into(), docs.iter().map(from_entry).collect());
        }
        ChannelMsg::Interest(msg) => {
            out.insert("docId".into(), msg.doc.as_str().into());
            put(&mut out, "version", msg.version.as_deref());
            put(&mut out, "reciprocate", msg.reciprocate);
        }
        ChannelMsg::Offer(msg) => {
            out.insert("docId".into(), msg.doc.as_str().into());
            out.insert("payload".into(), from_payload(msg));
            out.insert("version".into(), msg.version.as_str().into());
            put(&mut out, "reciprocate", msg.reciprocate);
        }
        ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => {
            out.insert("docId".into(), doc.as_str().into());
        }
    }
    out.into()
}

fn features(features: &Features) -> Value {
    let mut out = Map::new();
    put(&mut out, "alias", features.alias);
    put(&mut out, "streamed", features.streamed);
    put(&mut out, "datagram", features.datagram);
    out.into()
}

fn from_entry(entry: &DocEntry) -> Value {
    let [writer, delivery, durability] = match entry.mode {
        SyncMode::Collaborative => ["concurrent", "delta-capable", "persistent"],
        SyncMode::Authoritative => ["serialized", "delta-capable", "persistent"],
        SyncMode::Ephemeral => ["concurrent", "snapshot-only", "transient"],
    };
    let replica = &entry.replica;
    let mut out = Map::new();
    out.insert("docId".into(), entry.doc.as_str().into());
    out.insert(
        "replicaType".into(),
        json!([
            replica.name.as_str(),
            bits(replica.major),
            bits(replica.minor)
        ]),
    );
    out.insert(
        "syncMode".into(),
        json!({ "writerModel": writer, "delivery": delivery, "durability": durability }),
    );
    out.insert("schemaHash".into(), entry.schema.as_str().into());
    let hashes = entry.supported.as_ref();
    put(
        &mut out,
        "supportedHashes",
        hashes.map(|hashes| {
            hashes
                .iter()
                .map(|hash| Value::from(hash.as_str()))
                .collect::<Value>()
        }),
    );
    out.into()
}

fn from_payload(offer: &Offer) -> Value {
    let mut out = Map::new();
    let kind = match offer.kind {
        PayloadKind::Entirety => "entirety",
        PayloadKind::Since => "since",
    };
    let encoding = match offer.encoding {
        Encoding::Json => "json",
        Encoding::Binary => "binary",
    };
    out.insert("kind".into(), kind.into());
    out.insert("encoding".into(), encoding.into());
    out.insert(
        "data".into(),
        match &offer.data {
            Data::Text(text) => json!(&**text),
            Data::Bytes(bytes) => from_bytes(bytes),
        },
    );
    put(
        &mut out,
        "lineage",
        offer.lineage.as_ref().map(Lineage::as_str),
    );
    out.into()
}

fn from_bytes(bytes: &Bytes) -> Value {
    json!({ "$bytes": hex::encode(bytes) })
}

fn put(out: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out.insert(key.into(), value.into());
    }
}

/// A number by its bits: NaN equals NaN, and -0 is not 0.
fn bits(number: f64) -> Value {
    let number = if number.is_nan() { f64::NAN } else { number };
    format!("f64:{:016x}", number.to_bits()).into()
}

/// Expands shorthands, and replaces numbers by their bits.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(_) => bits(number(value)),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(map) => {
            if map.contains_key("$num") {
                bits(number(value))
            } else if map.contains_key("$genText") {
                text(value).to_string().into()
            } else if let Some(n) = map.get("$genBytes").and_then(Value::as_u64) {
                from_bytes(&gen_bytes(n).into())
            } else {
                map.iter()
                    .map(|(key, value)| (key.clone(), normal(value)))
                    .collect()
            }
        }
        other => other.clone(),
    }
}
