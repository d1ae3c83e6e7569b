//! Rust and Node on one path, either of them listening, in both wire versions. The other end is
//! `peer.mjs`, a peer like the reference's, on Node's own `net` without packages.
//!
//! `members` are processes that share documents through a Rust listener: `member.mjs`, which behaves as an
//! Exchange of the reference (`exchange/`), which `sessions` compares with recorded sessions.
//!
//! Needs `node` on the PATH; without it the tests pass and print that they were skipped.
//! `KYNETA_BUN=/path/to/bun` runs them with Bun too.

// Only tests use these helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(feature = "documents")]
mod exchanges;
mod hub;
mod member;
mod members;
mod peer;
mod sessions;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use kyneta_uds::{
    ChannelMsg, DocEntry, DocId, Interest, Offer, PeerChange, PeerType, ReplicaType, SchemaHash,
    Version,
};
use serde_json::json;

use self::{
    peer::{Role, pairs},
    support::offer,
};

#[tokio::test]
async fn a_client_finds_out_what_the_listener_speaks_within_a_second() {
    for setting in pairs().filter(|setting| setting.role == Role::RustConnects) {
        let pair = setting.prepare().await;
        let start = Instant::now();
        let pair = pair.meet().await;
        assert!(start.elapsed() < Duration::from_secs(1), "{setting}");
        assert_eq!(pair.rust.peer().wire(), setting.wire, "{setting}");
        pair.part().await;
    }
}

#[tokio::test]
async fn both_sides_know_each_other_and_part_on_purpose() {
    for setting in pairs() {
        // The Rust side leaves.
        let mut pair = setting.meet().await;
        let peer = pair.rust.peer();
        assert_eq!(peer.identity().peer_id.as_str(), "node", "{setting}");
        assert_eq!(peer.identity().name.as_deref(), Some("Node"), "{setting}");
        assert_eq!(peer.identity().peer_type, PeerType::Bot, "{setting}");
        assert_eq!(peer.wire(), setting.wire, "{setting}");
        let pid = peer.credentials().unwrap().pid.unwrap();
        assert_eq!(pid as u32, pair.node.pid(), "{setting}");
        assert_eq!(
            pair.node.met,
            json!({"event": "established", "peer": "rust", "type": "service"})
        );
        assert_eq!(pair.rust.dispose().await.kind(), "intentional");
        pair.node.until("departed").await;
        pair.node.until("end").await;
        pair.node.until("close").await;

        // The Node side leaves.
        let mut pair = setting.meet().await;
        pair.node.say(json!({"depart": true})).await;
        pair.node.say(json!({"end": true})).await;
        let change = pair.end().await;
        assert!(
            matches!(change, PeerChange::Departed),
            "{setting}: {change:?}"
        );
    }
}

#[tokio::test]
async fn every_kind_of_message_goes_both_ways_with_aliases() {
    for setting in pairs() {
        let mut pair = setting.meet().await;
        let doc = |id: &str| DocId::new(id).unwrap();
        let version = |text: &str| Version::new(text).unwrap();
        let entry = |id: &str| {
            let schema = SchemaHash::new("schema-1").unwrap();
            DocEntry::new(doc(id), ReplicaType::new("loro", 1.0, 0.0).unwrap(), schema)
        };
        let named = "grüße-文書";

        // Outbound: the second entry uses the schema's alias, later messages the documents' aliases.
        pair.send(ChannelMsg::Present(vec![entry("d0"), entry(named)]))
            .await;
        pair.send(Interest::new(doc(named)).since(version("7")).into())
            .await;
        pair.send(Interest::new(doc("unannounced")).into()).await;
        pair.send(ChannelMsg::Dismiss(doc("d0"))).await;
        pair.send(ChannelMsg::Vacant(doc("d0"))).await;
        let entry_of = |doc: &str, schema_aliased: bool| {
            json!({"doc": doc, "schema": "schema-1", "aliased": schema_aliased,
                   "replica": ["loro", 1, 0], "mode": "collaborative"})
        };
        for expected in [
            json!({"event": "present", "docs": [entry_of("d0", false), entry_of(named, true)]}),
            json!({"event": "interest", "doc": named, "aliased": true, "version": "7"}),
            json!({"event": "interest", "doc": "unannounced", "aliased": false}),
            json!({"event": "dismiss", "doc": "d0", "aliased": true}),
            json!({"event": "vacant", "doc": "d0", "aliased": true}),
        ] {
            assert_eq!(pair.node.message().await, expected, "{setting}");
        }

        // Inbound.
        pair.node
            .say(json!({"present": [["d0", "schema-1"], [named, "schema-1"]]}))
            .await;
        pair.node.say(json!({"interest": named})).await;
        pair.node.say(json!({"interest": "unannounced"})).await;
        pair.node.say(json!({"dismiss": "d0"})).await;
        pair.node.say(json!({"vacant": "d0"})).await;
        for expected in [
            ChannelMsg::Present(vec![entry("d0"), entry(named)]),
            Interest::new(doc(named)).into(),
            Interest::new(doc("unannounced")).into(),
            ChannelMsg::Dismiss(doc("d0")),
            ChannelMsg::Vacant(doc("d0")),
        ] {
            assert_eq!(pair.receive().await.message, expected, "{setting}");
        }
        pair.part().await;
    }
}

const SIZES: [usize; 14] = [
    0,
    1,
    23,
    24,
    255,
    256,
    4_096,
    65_525,
    65_535,
    65_536,
    65_537,
    200_000,
    1_000_000,
    1 << 20,
];

#[tokio::test]
async fn offers_of_every_size_come_back_intact_and_in_order() {
    for setting in pairs() {
        let mut pair = setting.with("echo").meet().await;
        for size in SIZES {
            pair.rust.queue(offer("d", size)).await.unwrap();
        }
        for size in SIZES {
            let back = pair.receive().await;
            assert!(back.message == offer("d", size), "{setting}: {size} bytes");
            let seen = pair.node.message().await;
            assert_eq!(
                (&seen["size"], &seen["intact"]),
                (&json!(size), &json!(true))
            );
        }

        // The Node side sends first.
        for size in SIZES {
            let sent = json!({"offer": "d", "size": size, "version": size});
            pair.node.say(sent).await;
        }
        for size in SIZES {
            let got = pair.receive().await;
            assert!(
                got.message == numbered(size, size),
                "{setting}: {size} bytes"
            );
        }
        pair.part().await;
    }
}

#[tokio::test]
async fn bytes_that_come_one_at_a_time_are_put_together() {
    for setting in pairs() {
        let mut pair = setting.with("dribble").meet().await;
        pair.node.say(json!({"present": [["d", "s"]]})).await;
        for size in [0, 1, 300] {
            pair.node.say(json!({"offer": "d", "size": size})).await;
        }
        assert_eq!(pair.receive().await.message.kind(), "present", "{setting}");
        for size in [0, 1, 300] {
            assert_eq!(pair.receive().await.message, offer("d", size), "{setting}");
        }
        pair.part().await;
    }
}

#[tokio::test]
async fn many_frames_in_one_write_are_taken_apart() {
    for setting in pairs() {
        let mut pair = setting.meet().await;
        const MANY: usize = 3_000;
        let batch: Vec<_> = (0..MANY)
            .map(|i| json!({"offer": "d", "size": i % 97, "version": i}))
            .collect();
        pair.node.say(json!({ "batch": batch })).await;
        for i in 0..MANY {
            assert!(
                pair.receive().await.message == numbered(i % 97, i),
                "{setting}: {i}"
            );
        }
        pair.part().await;
    }
}

#[tokio::test]
async fn a_reader_that_pauses_gets_all_once_and_in_order() {
    for setting in pairs() {
        let mut pair = setting.meet().await;
        const MANY: usize = 2_000;
        pair.node.say(json!({"pause": 1_000})).await;
        pair.node.until("paused").await;
        let start = Instant::now();
        let mut rust = pair.rust.clone();
        let sending = tokio::spawn(async move {
            for i in 0..MANY {
                rust.queue(numbered(16 << 10, i)).await.unwrap();
            }
            rust.flushed().await.unwrap();
            start.elapsed()
        });
        for i in 0..MANY {
            let seen = pair.node.message().await;
            let expected = json!({"event": "offer", "doc": "d", "aliased": false,
                                  "version": i.to_string(), "size": 16 << 10, "intact": true});
            assert_eq!(seen, expected, "{setting}");
        }
        let took = sending.await.unwrap();
        assert!(
            took > Duration::from_millis(900),
            "{setting}: it did pause, {took:?}"
        );
        pair.part().await;
    }
}

#[tokio::test]
async fn an_end_without_depart_is_a_disconnection() {
    for setting in pairs() {
        for end in [json!({"end": true}), json!({"destroy": true})] {
            let mut pair = setting.meet().await;
            pair.node.say(end.clone()).await;
            let change = pair.end().await;
            assert!(
                matches!(change, PeerChange::Disconnected(_)),
                "{setting}, {end}: {change:?}"
            );
            assert!(!pair.rust.is_connected());
        }
    }
}

#[tokio::test]
async fn a_killed_process_is_a_disconnection_and_what_it_sent_is_kept() {
    for setting in pairs() {
        let mut pair = setting.meet().await;
        pair.node.say(json!({"offer": "d", "size": 10})).await;
        assert_eq!(pair.receive().await.message, offer("d", 10), "{setting}");
        pair.node.kill().await;
        let change = pair.end().await;
        assert!(
            matches!(change, PeerChange::Disconnected(_)),
            "{setting}: {change:?}"
        );
    }
}

/// Node closes its end as soon as it has read ours (`allowHalfOpen` is off). Queued messages have arrived
/// by then.
#[tokio::test]
async fn what_waits_at_the_end_arrives_before_it() {
    for setting in pairs() {
        let mut pair = setting.meet().await;
        for i in 0..500 {
            pair.rust.queue(numbered(4_096, i)).await.unwrap();
        }
        let rust = pair.rust.clone();
        let parting = tokio::spawn(async move { rust.dispose().await });
        for i in 0..500 {
            assert_eq!(pair.node.message().await["version"], json!(i.to_string()));
        }
        pair.node.until("departed").await;
        pair.node.until("close").await;
        assert_eq!(parting.await.unwrap().kind(), "intentional", "{setting}");
    }
}

/// An offer with a number as its version.
fn numbered(size: usize, number: usize) -> ChannelMsg {
    let ChannelMsg::Offer(offer) = offer("d", size) else {
        unreachable!()
    };
    let version = Version::new(number.to_string()).unwrap();
    Offer { version, ..offer }.into()
}
