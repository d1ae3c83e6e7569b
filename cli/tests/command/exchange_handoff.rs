//! `exchange --take-over`: the exchange that listens is replaced, and its documents with it.
//!
//! Held: after each replacement all processes print the same value, and none reports a lost connection. A failure
//! shows the event or the value.

use serde_json::{Value, json};

use super::{
    exchange::Documents,
    process::{Process, start},
};

/// Until the document holds this. What shows that the listener was replaced fails.
fn until_equal(process: &mut Process, hits: u64, items: usize) -> Value {
    process.write_line(json!({"doc": "config", "get": true}));
    loop {
        let line = process.next();
        assert_ne!(line["change"], "disconnected", "{line}");
        assert_ne!(line["change"], "departed", "{line}");
        assert_ne!(line["event"], "role", "{line}");
        assert_ne!(line["event"], "error", "{line}");
        let value = &line["value"];
        if line["event"] == "doc" && value["hits"] == hits {
            let has = value["items"].as_array().map_or(0, Vec::len);
            if has == items {
                return value.clone();
            }
        }
    }
}

/// The exchange that listens, or its successor.
fn hub(documents: &Documents, role: &[&str]) -> Process {
    let opening = documents.opening("config", "json");
    let store = documents.bus.path.with_file_name("store");
    let store = store.to_str().unwrap();
    let options = [
        "--stay",
        "--take-over",
        "--store",
        store,
        "--open",
        &opening,
    ];
    documents.start("hub", &[role, &options].concat())
}

/// The exchange that listens is replaced five times while a member edits.
fn documents_stay_equal(role: &[&str], listening: &Value) {
    let documents = Documents::new();
    let (opening, path) = (
        documents.opening("config", "json"),
        documents.bus.path.clone(),
    );
    let mut listener = hub(&documents, role);
    listener.until(listening);
    let mut members = ["a", "b"].map(|id| {
        let mut member = documents.start(id, &["--stay", "--open", &opening]);
        member.until(&json!({"event": "role", "role": "connector"}));
        member.until(&json!({"event": "synced", "doc": "config"}));
        member
    });
    let (mut hits, mut items) = (0, 0);
    for round in 0..5 {
        // A plain document has one writer at a time: first the listener, then a member, across the handover.
        listener.write_line(json!({"doc": "config", "push": ["items", format!("hub-{round}")]}));
        items += 1;
        until_equal(&mut members[0], hits, items);
        let mut successor = None;
        for step in 0..20 {
            members[0].write_line(json!({"doc": "config", "increment": ["hits", 1]}));
            hits += 1;
            if step == 10 {
                successor = Some(hub(&documents, role));
            }
        }
        let mut successor = successor.unwrap();
        let took = successor.until(&json!({"event": "took-over", "connections": 2}));
        assert_eq!(took["pid"], listener.pid());
        // While it reads its store.
        members[0].write_line(json!({"doc": "config", "push": ["items", format!("a-{round}")]}));
        items += 1;
        listener.until(&json!({"event": "handed-over", "pid": successor.pid()}));
        let end = listener.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        listener = successor;
        let [a, b] = members
            .each_mut()
            .map(|member| until_equal(member, hits, items));
        listener.write_line(json!({"doc": "config", "get": true}));
        while listener.until(&json!({"event": "doc", "doc": "config"}))["value"] != a {}
        assert_eq!(a, b);
    }
    members.into_iter().for_each(|member| drop(member.stop()));
    listener.stop();
    assert!(!path.exists());
}

#[test]
fn documents_stay_equal_while_the_leaderless_listener_is_replaced_five_times() {
    documents_stay_equal(&[], &json!({"event": "role", "role": "listener"}));
}

#[test]
fn documents_stay_equal_while_the_server_is_replaced_five_times() {
    documents_stay_equal(&["--listen"], &json!({"event": "listening"}));
}

#[test]
fn a_successor_that_fails_leaves_the_store_with_the_old_one() {
    let documents = Documents::new();
    let mut listener = hub(&documents, &[]);
    listener.until(&json!({"event": "role", "role": "listener"}));
    listener.write_line(json!({"doc": "config", "push": ["items", "before"]}));
    listener.until(&json!({"event": "stored", "doc": "config"}));
    crate::handoff::ask(documents.bus.path.to_str().unwrap(), None);
    listener.until(&json!({"event": "error", "code": "not-handed-over"}));
    listener.write_line(json!({"doc": "config", "push": ["items", "after"]}));
    listener.until(&json!({"event": "stored", "doc": "config"}));
    let mut successor = hub(&documents, &[]);
    successor.until(&json!({"event": "took-over", "connections": 0}));
    assert_eq!(listener.end().code, 0);
    successor.write_line(json!({"doc": "config", "get": true}));
    let event = successor.until(&json!({"event": "doc", "doc": "config"}));
    assert_eq!(event["value"]["items"], json!(["before", "after"]));
    successor.stop();
}

#[test]
fn without_a_store_it_is_a_wrong_usage() {
    let documents = Documents::new();
    let path = documents.bus.path.to_str().unwrap();
    for option in ["--take-over", "--offer-handoff"] {
        let end = start(&["exchange", path, option]).finish();
        assert_eq!(end.code, 2);
        assert!(end.stderr.contains("need --store DIR"), "{}", end.stderr);
    }
}

#[test]
fn a_connector_says_that_it_has_nothing_to_hand_over() {
    let documents = Documents::new();
    let store = documents.bus.path.with_file_name("store");
    let options = [
        "--connect",
        "--take-over",
        "--store",
        store.to_str().unwrap(),
    ];
    let mut connector = documents.start("a", &options);
    let line = connector.until(&json!({"event": "error", "code": "not-taken-over"}));
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("no connections to hand over"), "{message}");
    connector.stop();
}
