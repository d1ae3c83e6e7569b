//! The vectors of documents as values of this project. For the tests of several crates, by `#[path]`.

use std::{fs, path::Path};

use kyneta_uds_core::{Bytes, Data, DocId, Encoding, Offer, PayloadKind, Version};
use kyneta_uds_exchange::{DocReplica, Edit, Json};
use serde_json::Value;

pub(crate) fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    // Some hold half of a surrogate pair, which is U+FFFD in Rust.
    let text = fs::read_to_string(path.join(file)).unwrap();
    serde_json::from_str(&Json::parse(&text).unwrap().to_string()).unwrap()
}

/// A value, where bytes are what JavaScript writes of them, and what is undefined is left out.
pub(crate) fn json(value: &Value) -> Json {
    match value.get("$bytes").and_then(Value::as_str) {
        Some(text) => {
            let bytes = hex::decode(text).unwrap().into_iter().enumerate();
            let byte = |(at, byte): (usize, u8)| (at.to_string(), f64::from(byte).into());
            Json::Object(bytes.map(byte).collect())
        }
        None => match value {
            Value::Array(items) => Json::Array(items.iter().map(json).collect()),
            Value::Object(object) => {
                let known = object.iter().filter(|(_, v)| v.get("$undefined").is_none());
                Json::Object(known.map(|(k, v)| (k.clone(), json(v))).collect())
            }
            other => Json::parse(&other.to_string()).unwrap(),
        },
    }
}

/// `[op, path, args...]`; `None` for an edit of a tree, which is not made here.
pub(crate) fn edit(op: &Value) -> Option<Edit> {
    let at = |index: usize| usize::try_from(op[index].as_u64().unwrap()).unwrap();
    let text = |index: usize| op[index].as_str().unwrap();
    let edit = match op[0].as_str().unwrap() {
        "set" => Edit::set("", json(&op[2])),
        "push" => Edit::push("", json(&op[2])),
        "insert" => Edit::insert("", at(2), json(&op[3])),
        "delete" => Edit::delete("", at(2), at(3)),
        "increment" => Edit::increment("", op[2].as_f64().unwrap()),
        "put" => Edit::put("", text(2), json(&op[3])),
        "mark" => Edit::mark("", at(2), at(3), text(4), true),
        "create" => return None,
        other => panic!("{other}"),
    };
    let path = op[1].as_array().unwrap().iter();
    let names = path.map(|name| match name {
        Value::String(name) => name.clone(),
        index => index.to_string(),
    });
    Some(edit.at(names))
}

pub(crate) fn value(replica: &impl DocReplica) -> Json {
    replica.value()
}

pub(crate) fn offer(kind: PayloadKind, data: &str, version: &str) -> Offer {
    Offer {
        doc: DocId::new("d").unwrap(),
        kind,
        encoding: Encoding::Binary,
        data: Data::Bytes(Bytes::from(hex::decode(data).unwrap())),
        version: Version::new(version).unwrap(),
        reciprocate: None,
        lineage: None,
        base: None,
    }
}
