//! The documents of `tests/vectors/exchange-plain.json`, and the plain JSON ones of `exchange-schema.json`: edits,
//! payloads, and what offers of any kind come to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};

use kyneta_uds_core::{
    ByteString, Data, DocId, Encoding, Lineage, Offer, PayloadKind, Version, WireVersion,
};
use kyneta_uds_exchange::{Edit, EditError, Imported, Json, PlainReplica, Replica, Take};
use kyneta_uds_schema::{DocVersion, Schema, Substrate};
use serde_json::Value;

fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    // Some hold half of a surrogate pair, which is U+FFFD in Rust.
    let text = fs::read_to_string(path.join(file)).unwrap();
    serde_json::from_str(&Json::parse(&text).unwrap().to_string()).unwrap()
}

fn wire(case: &Value) -> WireVersion {
    match case["wire"].as_u64() {
        Some(2) => WireVersion::V2,
        _ => WireVersion::V3,
    }
}

/// What a replica holds, to be compared without the order of keys.
fn value(replica: &PlainReplica) -> Value {
    let object = replica.value().clone();
    serde_json::from_str(&Json::Object(object).to_string()).unwrap()
}

/// JavaScript has one number type: 1 and 1.0 are equal.
fn same(ours: &Value, theirs: &Value) -> bool {
    Json::parse(&ours.to_string()) == Json::parse(&theirs.to_string())
}

/// Two payloads, without the order of keys.
fn same_text(ours: &str, theirs: &Value) -> bool {
    Json::parse(ours).unwrap() == Json::parse(theirs.as_str().unwrap()).unwrap()
}

/// The text of a value, where bytes are what JavaScript writes of them.
fn json(value: &Value) -> Json {
    match value.get("$bytes").and_then(Value::as_str) {
        Some(hex) => {
            let bytes = hex::decode(hex).unwrap().into_iter().enumerate();
            Json::Object(
                bytes
                    .map(|(at, byte)| (at.to_string(), f64::from(byte).into()))
                    .collect(),
            )
        }
        None => match value {
            Value::Array(items) => Json::Array(items.iter().map(json).collect()),
            Value::Object(object) => {
                Json::Object(object.iter().map(|(k, v)| (k.clone(), json(v))).collect())
            }
            other => Json::parse(&other.to_string()).unwrap(),
        },
    }
}

/// `[op, path, args...]`; `None` for an edit of a tree, which is not made here.
fn edit(op: &Value) -> Option<Edit> {
    let at = |index: usize| usize::try_from(op[index].as_u64().unwrap()).unwrap();
    let text = |index: usize| op[index].as_str().unwrap();
    let edit = match op[0].as_str().unwrap() {
        "set" => Edit::set("", json(&op[2])),
        "push" => Edit::push("", json(&op[2])),
        "insert" => Edit::insert("", at(2), json(&op[3])),
        "delete" => Edit::delete("", at(2), at(3)),
        "increment" => Edit::increment("", op[2].as_f64().unwrap()),
        "put" => Edit::put("", text(2), json(&op[3])),
        "remove" => Edit::remove("", text(2)),
        "clear" => Edit::clear(""),
        "update" => Edit::update("", text(2)),
        "mark" => {
            let value = op.get(5).map_or(Json::Bool(true), json);
            Edit::mark("", at(2), at(3), text(4), value)
        }
        "unmark" => Edit::unmark("", at(2), at(3), text(4)),
        // Of a set; the reference has no such edit either.
        "add" | "drop" => Edit::push("", json(&op[2])),
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

fn fresh() -> Lineage {
    Lineage::new("0000000000000001").unwrap()
}

fn offer(kind: &str, data: &str, version: &str) -> Offer {
    let (doc, version) = (DocId::new("d").unwrap(), Version::new(version).unwrap());
    let mut offer = Offer::json(doc, version, ByteString::from(data));
    if kind == "since" {
        offer.kind = PayloadKind::Since;
    }
    offer
}

fn version(replica: &PlainReplica, wire: WireVersion) -> String {
    replica.version(wire).to_string()
}

/// The text of what is newer than a version.
fn since(replica: &PlainReplica, wire: WireVersion, since: &str) -> Option<String> {
    let since = DocVersion::parse(Substrate::Plain, wire, since).unwrap();
    let payload = replica.export(Some(&since), wire)?;
    assert_eq!(
        (payload.kind, payload.encoding),
        (PayloadKind::Since, Encoding::Json)
    );
    assert_eq!(payload.version, replica.version(wire));
    match payload.data {
        Data::Text(text) => Some(text.to_string()),
        Data::Bytes(_) => panic!("bytes"),
    }
}

/// What was recorded is one batch further for each step: one that does nothing.
fn tick(replica: &mut PlainReplica, wire: WireVersion) {
    let nothing = r#"[[{"path":[],"change":{"type":"replace"}}]]"#;
    let next = match (wire, replica.version(wire)) {
        (WireVersion::V2, version) => {
            let count: u64 = version.to_string().parse().unwrap();
            (count + 1).to_string()
        }
        (_, DocVersion::Plain(version)) => match version.is_of_a_lineage() {
            true => version.next().to_string(),
            false => "0000000000000001:1".to_owned(),
        },
        _ => panic!(),
    };
    let taken = replica.import(&offer("since", nothing, &next), wire, Take::Merge);
    assert_eq!(taken, Ok(Imported::All { refused: 0 }));
}

#[test]
fn edits_make_the_recorded_payloads_and_payloads_make_the_recorded_values() {
    let vectors = vectors("exchange-plain.json");
    let schema = Schema::parse(&vectors[0]["decl"].to_string()).unwrap();
    let cases: Vec<_> = vectors
        .iter()
        .filter(|case| case["kind"] == "edits")
        .collect();
    assert_eq!(cases.len(), 62);
    // The reference's log shares values with its document, so that what was edited later is sent edited.
    let (mut later, mut steps, mut theirs_read) = (0, 0, 0);
    for case in cases {
        let (wire, name) = (wire(case), &case["name"]);
        let mut writer = PlainReplica::open(schema.clone()).unwrap();
        let mut reader = PlainReplica::open(schema.clone()).unwrap();
        let start = version(&writer, wire);
        assert_eq!(start, case["start"], "{name}");
        for step in case["steps"].as_array().unwrap() {
            steps += 1;
            tick(&mut writer, wire);
            let before = version(&writer, wire);
            let ops = step["edits"].as_array().unwrap().iter();
            let edits: Vec<_> = ops.map(|op| edit(op).unwrap()).collect();
            let unedited = value(&writer);
            let made = writer.edit(&edits, fresh);
            assert_eq!(version(&writer, wire), step["version"], "{name}");
            // What is read of the document has no sets.
            let mut held = value(&writer);
            held.as_object_mut().unwrap().remove("set");
            assert!(same(&held, &step["value"]), "{name} {step}\n{held}");
            if step.get("threw").is_some() {
                assert!(matches!(made, Err(EditError::WrongKind { .. })), "{made:?}");
                assert_eq!(value(&writer), unedited);
                continue;
            }
            let text = since(&writer, wire, &before).unwrap();
            if step["receiver"] == "same" {
                assert!(same_text(&text, &step["since"]), "{name}\n{text}\n{step}");
            } else {
                later += 1;
            }
            let all = since(&writer, wire, &version(&reader, wire)).unwrap();
            let to = version(&writer, wire);
            reader
                .import(&offer("since", &all, &to), wire, Take::Merge)
                .unwrap();
            assert_eq!(reader.value(), writer.value(), "{name}");
            assert_eq!(version(&reader, wire), to, "{name}");
        }
        // A reader that comes late, and a replica without a schema.
        let to = version(&writer, wire);
        let all = since(&writer, wire, &start).unwrap();
        // Of the reference's payload, also where it holds an edit twice.
        if let Some(theirs) = case["sinceStart"].as_str() {
            let mut late = PlainReplica::open(schema.clone()).unwrap();
            late.import(&offer("since", theirs, &to), wire, Take::Merge)
                .unwrap();
            let expected = match &case["lateReceiver"] {
                Value::String(_) => value(&writer),
                other => other.clone(),
            };
            assert!(same(&value(&late), &expected), "{name}");
            theirs_read += 1;
        }
        let mut late = PlainReplica::open(schema.clone()).unwrap();
        late.import(&offer("since", &all, &to), wire, Take::Merge)
            .unwrap();
        assert_eq!(late.value(), writer.value(), "{name}");
        let mut headless = PlainReplica::headless();
        let none = match wire {
            WireVersion::V2 => "0",
            WireVersion::V3 => {
                // The zeros are no batch here.
                let new = PlainReplica::open(schema.clone()).unwrap();
                let zeros = new.export(None, wire).unwrap();
                let zeros = zeros.offer(DocId::new("d").unwrap()).unwrap();
                headless.import(&zeros, wire, Take::Merge).unwrap();
                &start
            }
        };
        let all = since(&writer, wire, none).unwrap();
        headless
            .import(&offer("since", &all, &to), wire, Take::Merge)
            .unwrap();
        assert_eq!(value(&headless), value(&writer), "{name}");
        assert_eq!(version(&headless, wire), to, "{name}");
        let whole = writer.export(None, wire).unwrap();
        assert_eq!(whole.kind, PayloadKind::Entirety);
        let text = std::str::from_utf8(whole.data.as_slice()).unwrap();
        assert!(same_text(text, &case["entirety"]), "{name}\n{text}");
    }
    assert_eq!((steps, later, theirs_read), (375, 2, 61));
}

#[test]
fn any_payload_comes_to_what_the_reference_makes_of_it() {
    let vectors = vectors("exchange-plain.json");
    let schema = Schema::parse(&vectors[0]["decl"].to_string()).unwrap();
    let cases: Vec<_> = vectors
        .iter()
        .filter(|case| case["kind"] == "apply")
        .collect();
    assert_eq!(cases.len(), 96);
    for case in cases {
        let wire = wire(case);
        for (name, mut replica) in [
            ("headless", PlainReplica::headless()),
            ("opened", PlainReplica::open(schema.clone()).unwrap()),
        ] {
            let expected = match &case[name] {
                Value::String(_) => &case["headless"],
                other => other,
            };
            let zeros = u64::from(wire == WireVersion::V2 && name == "opened");
            let start = match wire {
                WireVersion::V2 => (1 + zeros).to_string(),
                WireVersion::V3 => "L1:1".to_owned(),
            };
            let whole = vectors[0]["start"].to_string();
            replica
                .import(&offer("entirety", &whole, &start), wire, Take::Merge)
                .unwrap();
            let before = value(&replica);
            // The version that the sender would be at; where nothing is taken, any.
            let at = match expected["version"].as_str() {
                Some(version) if expected.get("error").is_none() => version.to_owned(),
                _ => start.replace("L1:1", "L1:2"),
            };
            let payload = offer(
                case["payload"].as_str().unwrap(),
                case["data"].as_str().unwrap(),
                &at,
            );
            let taken = replica.import(&payload, wire, Take::Merge);
            let context = format!("{name} {case}\n{taken:?}");
            if expected["error"] == true {
                assert!(taken.is_err(), "{context}");
                assert_eq!(value(&replica), before, "{context}");
                assert_eq!(version(&replica, wire), start, "{context}");
                continue;
            }
            // A path or a key __proto__, which changes the prototype of all objects there, is refused here.
            let refused = usize::from(case["data"].as_str().unwrap().contains("__proto__"));
            assert_eq!(taken, Ok(Imported::All { refused }), "{context}");
            assert!(
                same(&value(&replica), &expected["value"]),
                "{context}\n{}",
                value(&replica)
            );
            assert_eq!(version(&replica, wire), at, "{context}");
        }
    }
}

#[test]
fn documents_of_every_schema_hold_the_recorded_values() {
    let mut made = 0;
    for case in vectors("exchange-schema.json") {
        let Some(opened) = case.get("json").map(|json| &json["2.3.2"]) else {
            continue;
        };
        let schema = Schema::parse(&case["decl"].to_string()).unwrap();
        let mut replica = PlainReplica::open(schema).unwrap();
        // What is undefined is not in JSON.
        let edits = opened["edits"].as_array().unwrap().iter();
        let edits = edits
            .filter(|edit| !edit.to_string().contains("$undefined"))
            .map(edit);
        let Some(edits) = edits.collect::<Option<Vec<_>>>() else {
            continue;
        };
        for edit in edits {
            let edited = replica.edit(std::slice::from_ref(&edit), fresh);
            assert!(edited.is_ok(), "{} {edit:?}: {edited:?}", case["name"]);
        }
        let whole = replica.export(None, WireVersion::V3).unwrap();
        let text = std::str::from_utf8(whole.data.as_slice()).unwrap();
        let expected = opened["data"].as_str().unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert!(
            same(&serde_json::from_str(text).unwrap(), &expected),
            "{}\n{text}\n{expected}",
            case["name"]
        );
        made += 1;
    }
    assert_eq!(made, 257 - 5);
}
