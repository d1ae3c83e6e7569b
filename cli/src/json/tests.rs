//! Round trips of every message in the vectors, and the texts of errors.
//!
//! The vectors are those of the wire, so the command's JSON says all that the wire can. A failure shows the line.

use std::path::Path;

use serde_json::Value;

use super::*;

/// Every "msg" and "ok" value in the vectors that needs no generator.
fn vector_messages() -> Vec<Value> {
    fn collect(value: Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match key.as_str() {
                        "msg" | "ok" if is_plain(&value) => found.push(value),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(items) => items.into_iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    fn is_plain(value: &Value) -> bool {
        value.is_object() && !value.to_string().contains("\"$gen")
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut found = Vec::new();
    for name in ["v2.json", "v3.json", "session-v2.json", "session-v3.json"] {
        let text = std::fs::read(dir.join(name)).unwrap();
        collect(serde_json::from_slice(&text).unwrap(), &mut found);
    }
    found
}

#[test]
fn every_vector_message_survives_a_round_trip() {
    let messages = vector_messages();
    let mut refused = 0;
    for value in &messages {
        let line = value.to_string();
        match message(&Json::parse(line.as_bytes()).unwrap()) {
            Ok(read) => {
                let written = serde_json::to_value(Msg(&read)).unwrap();
                assert_eq!(normal(written), normal(value.clone()), "{line}");
            }
            Err(error) => {
                // The reference sends these; our types refuse to build them.
                let error = error.to_string();
                let known =
                    error.contains("exceed the limit") || error.contains("protocol version");
                assert!(known, "{error}: {line}");
                refused += 1;
            }
        }
    }
    assert!(messages.len() > 3000, "{}", messages.len());
    assert!(refused < 100, "{refused}");
}

/// JavaScript has one number type: 1 and 1.0 are equal.
fn normal(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, normal(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn numbers_are_written_as_javascript_would() {
    let line = br#"{"type":"present","docs":[{"docId":"d","replicaType":["x",{"$num":"-0"},1.0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable","durability":"persistent"},"schemaHash":"h"}]}"#;
    let read = message(&Json::parse(line).unwrap()).unwrap();
    let written = serde_json::to_string(&Msg(&read)).unwrap();
    assert!(
        written.contains(r#""replicaType":["x",{"$num":"-0"},1]"#),
        "{written}"
    );
}

#[test]
fn errors_name_the_field() {
    let offer = |data: &str| {
        format!(
            r#"{{"type":"offer","docId":"d","version":"1","payload":{{"kind":"since","encoding":"binary","data":{data}}}}}"#
        )
    };
    for (line, expected) in [
        ("7", "expected an object, not a number"),
        ("{}", "type: missing"),
        (
            r#"{"type":"offr"}"#,
            "type: \"offr\" is none of establish, depart, present, interest, offer, dismiss, vacant",
        ),
        (r#"{"type":"interest"}"#, "docId: missing"),
        (
            r#"{"type":"interest","docId":null}"#,
            "docId: expected text, not null",
        ),
        (
            r#"{"type":"interest","docId":"d","versoin":"1"}"#,
            "versoin: unknown field; known here: type, docId, version, reciprocate",
        ),
        (
            r#"{"type":"present","docs":[{"docId":"d","replicaType":["x",1,"0"]}]}"#,
            "docs.0.replicaType.2: expected a number or {\"$num\": \"NaN\" | \"Infinity\" | \
             \"-Infinity\" | \"-0\"}, not a text",
        ),
        (
            &offer("7"),
            "payload.data: expected text or {\"$bytes\": hex}, not a number",
        ),
        (
            &offer(r#"{"$bytes":"0"}"#),
            "payload.data.$bytes: 1 hex digits; bytes have two each",
        ),
        (
            &offer(r#"{"$bytes":"0g"}"#),
            "payload.data.$bytes: 'g' at 1 is no hex digit",
        ),
    ] {
        let json = Json::parse(line.as_bytes()).unwrap();
        assert_eq!(message(&json).unwrap_err().to_string(), expected, "{line}");
    }
    let long = format!(r#"{{"type":"dismiss","docId":"{}"}}"#, "x".repeat(513));
    let error = message(&Json::parse(long.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "docId: 513 bytes exceed the limit of 512"
    );
}

#[test]
fn a_large_payload_survives_a_round_trip() {
    let data = "a7".repeat(1 << 20);
    let line = format!(
        r#"{{"type":"offer","docId":"d","payload":{{"kind":"since","encoding":"binary","data":{{"$bytes":"{data}"}}}},"version":"1"}}"#
    );
    let read = message(&Json::parse(line.as_bytes()).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&Msg(&read)).unwrap(), line);
}
