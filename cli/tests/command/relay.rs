//! Documents pass between the members of a listener that holds none.

use serde_json::{Value, json};

use crate::roles::{client, listener};

fn present() -> Value {
    json!({"type": "present", "docs": [{"docId": "d", "replicaType": ["plain", 1, 0],
           "syncMode": {"writerModel": "serialized", "delivery": "delta-capable", "durability": "persistent"},
           "schemaHash": "00aa"}]})
}

fn message(of: &str, msg: &Value) -> Value {
    json!({"event": "message", "peer": of, "msg": msg})
}

#[test]
fn a_listener_shows_a_document_of_one_client_to_another() {
    let (bus, listener) = listener(&["--id", "hub"]);
    let (mut a, _) = client(&bus, &["--id", "a"]);
    let (mut b, _) = client(&bus, &["--id", "b"]);
    a.write_line(json!({"send": present()}));
    b.until(&message("hub", &present()));
    for process in [a, b, listener] {
        process.stop();
    }
}

#[test]
fn a_message_without_effect_is_a_diagnostic_and_a_message() {
    let (bus, mut listener) = listener(&["--id", "hub"]);
    let (mut a, _) = client(&bus, &["--id", "a"]);
    let dismiss = json!({"type": "dismiss", "docId": "d"});
    a.write_line(json!({"send": dismiss}));
    listener
        .until(&json!({"event": "diagnostic", "code": "dismiss-unknown", "doc": "d", "peer": "a"}));
    listener.until(&message("a", &dismiss));
    for process in [a, listener] {
        process.stop();
    }
}

#[test]
fn nothing_is_relayed_where_it_is_turned_off_or_echoed() {
    for option in ["--no-relay", "--echo"] {
        let (bus, mut listener) = listener(&[option]);
        let (mut a, _) = client(&bus, &["--id", "a"]);
        let (mut b, _) = client(&bus, &["--id", "b"]);
        a.write_line(json!({"send": present()}));
        listener.until(&message("a", &present()));
        // What the listener had sent before this would arrive before it.
        let last = json!({"type": "dismiss", "docId": "last"});
        listener.write_line(json!({"send": last}));
        assert_eq!(b.next()["msg"], last);
        for process in [a, b, listener] {
            process.stop();
        }
    }
}
