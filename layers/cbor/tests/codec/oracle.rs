//! A message as ciborium's `Value`, written independently of the codec.
//!
//! In: a message. Out: what wire section 4 says it is. It shares no line with the codec, so that both cannot be wrong
//! in one way.

use bytes::Bytes;
use ciborium::Value;
use kyneta_uds_core::{
    ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Lineage, Observe, PayloadKind,
    ProtocolVersion, SyncMode,
};

type Pairs = Vec<(Value, Value)>;

/// Without aliases: entries have none, documents are named in full.
pub(crate) fn value(msg: &ChannelMsg) -> Value {
    let mut map = Pairs::new();
    match msg {
        ChannelMsg::Establish(msg) => establish(&mut map, msg),
        ChannelMsg::Depart => put(&mut map, "t", 2),
        ChannelMsg::Present(docs) => {
            put(&mut map, "t", 0x10);
            put(
                &mut map,
                "docs",
                Value::Array(docs.iter().map(entry).collect()),
            );
        }
        ChannelMsg::Interest(msg) => {
            document(&mut map, 0x11, &msg.doc);
            put_some(&mut map, "v", msg.version.as_deref());
            put_some(&mut map, "r", msg.reciprocate);
        }
        ChannelMsg::Offer(msg) => {
            put(&mut map, "t", 0x12);
            put(&mut map, "pk", i32::from(msg.kind == PayloadKind::Since));
            put(&mut map, "pe", i32::from(msg.encoding == Encoding::Binary));
            match &msg.data {
                Data::Text(text) => put(&mut map, "d", &**text),
                Data::Bytes(bytes) => put(&mut map, "d", Value::Bytes(bytes.to_vec())),
            }
            put(&mut map, "v", msg.version.as_str());
            put(&mut map, "doc", msg.doc.as_str());
            put_some(&mut map, "r", msg.reciprocate);
            put_some(&mut map, "ln", msg.lineage.as_ref().map(Lineage::as_str));
            put_some(&mut map, "b", msg.base.as_ref().map(|base| base.as_str()));
        }
        ChannelMsg::Dismiss(doc) => document(&mut map, 0x13, doc),
        ChannelMsg::Vacant(doc) => document(&mut map, 0x14, doc),
    }
    Value::Map(map)
}

fn document(map: &mut Pairs, kind: i32, doc: &DocId) {
    put(map, "t", kind);
    put(map, "doc", doc.as_str());
}

fn establish(map: &mut Pairs, msg: &Establish) {
    put(map, "t", 1);
    put(map, "id", msg.identity.peer_id.as_str());
    put_some(map, "n", msg.identity.name.as_deref());
    put(map, "y", msg.identity.peer_type.name());
    if let Some(features) = &msg.features {
        let mut flags = Pairs::new();
        put_some(&mut flags, "a", features.alias);
        put_some(&mut flags, "s", features.streamed);
        put_some(&mut flags, "d", features.datagram);
        put(map, "f", Value::Map(flags));
    }
    if msg.protocol != ProtocolVersion::default() {
        let version = [msg.protocol.major(), msg.protocol.minor()];
        put(map, "pv", Value::Array(version.map(Value::from).to_vec()));
    }
    if let Some(observe) = msg.observe {
        put(map, "ob", Value::Bool(observe == Observe::Messages));
        put_some(map, "od", (observe == Observe::Documents).then_some(true));
    }
}

fn entry(entry: &DocEntry) -> Value {
    let mut map = Pairs::new();
    put(&mut map, "d", entry.doc.as_str());
    let replica = &entry.replica;
    let numbers = [replica.major, replica.minor].map(number);
    let name = Value::from(replica.name.as_str());
    put(
        &mut map,
        "rt",
        Value::Array([name].into_iter().chain(numbers).collect()),
    );
    let mode = match entry.mode {
        SyncMode::Collaborative => 0,
        SyncMode::Authoritative => 1,
        SyncMode::Ephemeral => 2,
    };
    put(&mut map, "ms", mode);
    put(&mut map, "sh", entry.schema.as_str());
    if let Some(hashes) = &entry.supported {
        let hashes = hashes.iter().map(|hash| Value::from(hash.as_str()));
        put(&mut map, "shs", Value::Array(hashes.collect()));
    }
    Value::Map(map)
}

pub(crate) fn number(number: f64) -> Value {
    if number.trunc() == number && number.abs() <= 9_007_199_254_740_991.0 {
        Value::from(number as i64)
    } else {
        Value::Float(number)
    }
}

fn put(map: &mut Pairs, key: &str, value: impl Into<Value>) {
    map.push((key.into(), value.into()));
}

fn put_some(map: &mut Pairs, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(map, key, value);
    }
}

/// Removes the aliases that a `present` announces.
pub(crate) fn without_announcements(value: &mut Value) {
    let Value::Map(pairs) = value else {
        panic!("a map")
    };
    for (key, value) in pairs {
        if let (Some("docs"), Value::Array(docs)) = (key.as_text(), value) {
            for doc in docs {
                let Value::Map(pairs) = doc else {
                    panic!("a map")
                };
                pairs.retain(|(key, _)| !matches!(key.as_text(), Some("a" | "sa")));
            }
        }
    }
}

/// The key of [`with_unknown_key`].
pub(crate) const UNKNOWN_KEY: &[u8] = b"\x64zzzz";

/// The same message with an unknown key in front, so that the `general` decoder reads it. `None` if it is not a
/// map of few keys.
pub(crate) fn with_unknown_key(bytes: &[u8]) -> Option<Bytes> {
    let (&first, rest) = bytes.split_first()?;
    (0xa0..0xb7)
        .contains(&first)
        .then(|| [&[first + 1], UNKNOWN_KEY, b"\xf6", rest].concat().into())
}
