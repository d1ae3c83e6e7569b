//! Two sessions recorded between real peers: every frame is decoded and encoded again.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    json,
    peer::Peer,
    vectors::{WIRES, bytes, captured, list},
};

#[test]
fn recorded_sessions_decode_equal_and_encode_identical() {
    for wire in WIRES {
        let session = captured(wire);
        // Both sides of each connection.
        let mut peers: HashMap<(u64, bool), Peer> = HashMap::new();
        let mut frames = 0;
        for chunk in list(&session["sequence"]) {
            let conn = chunk["conn"].as_u64().expect("a connection");
            let from_a = chunk["dir"] == "A->B";
            let expected: Vec<Value> = list(&chunk["decoded"])
                .iter()
                .map(|msg| serde_json::json!({ "ok": msg }))
                .collect();
            for (frame, expected) in list(&chunk["frames"]).iter().zip(&expected) {
                let frame = bytes(frame);
                let receiver = peers
                    .entry((conn, !from_a))
                    .or_insert_with(|| Peer::new(wire));
                let got = receiver.messages(&frame);
                let [Ok(msg)] = got.as_slice() else {
                    panic!("one message: {got:?}")
                };
                assert_eq!(json::result(&Ok(msg.clone())), json::expected(expected));
                let sender = peers
                    .entry((conn, from_a))
                    .or_insert_with(|| Peer::new(wire));
                assert_eq!(hex::encode(sender.send(msg)), hex::encode(frame));
                frames += 1;
            }
            assert_eq!(list(&chunk["frames"]).len(), expected.len());
        }
        assert!(frames > 10);
        println!("wire {wire}: {frames} recorded frames read and written again");
    }
}
