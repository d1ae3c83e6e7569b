//! Payloads of a bus: what is written is read, and what a hostile member sends does no harm. A failure shows the
//! payload.

use bytes::Bytes;

use super::*;
use crate::bus::{
    codec_checks,
    wire::{Body, Greeting, Introduction, Kind, WireMessage},
};

fn introduction() -> Introduction {
    Introduction {
        id: "till".into(),
        inc: u64::MAX,
        name: Some("Till".into()),
        kind: "service".into(),
        machine: Some("oslo".into()),
        pid: Some(7),
        uid: None,
        since_ms: None,
        waits: Some(3),
    }
}

fn examples() -> Vec<Wire> {
    let message = |kind| WireMessage {
        n: 300,
        addressed: true,
        body: Body {
            kind,
            at_once: true,
            data: Bytes::from_static(b"data"),
            trace: None,
        },
    };
    vec![
        Wire::Admission,
        Wire::Greet(Box::new(Greeting {
            bus: "kyneta-bus".into(),
            lo: 1,
            hi: 2,
            protocols: vec!["shop/1".into()],
            me: introduction(),
            attempt: 1,
            hub: Some(("shop".into(), 1)),
            slow: 5,
            places: vec![("stock".into(), 1, 2, 3)],
            far: vec![("stock@oslo".into(), 4, 5, 6)],
        })),
        Wire::Position {
            sender: 1,
            session: 70_000,
            token: 5_000_000_000,
        },
        Wire::Acks(vec![(1, 2), (3, 4)]),
        Wire::Start {
            member: 1,
            session: 0,
            from: 24,
        },
        Wire::Send {
            to: vec![1, 2],
            message: message(Kind::Request),
        },
        Wire::Send {
            to: Vec::new(),
            message: WireMessage {
                n: 2,
                addressed: false,
                body: Body {
                    kind: Kind::Bundle(1),
                    at_once: false,
                    data: Bytes::from_static(b"\x41a\x42bc"),
                    trace: None,
                },
            },
        },
        Wire::Bye,
        Wire::Introduce(3, Box::new(introduction())),
        Wire::Joined {
            sender: 1,
            session: 2,
        },
        Wire::Peer {
            receiver: 1,
            session: 2,
            token: 3,
            k: 255,
            keeps_newest: true,
        },
        Wire::Left(4),
        Wire::Message {
            sender: 9,
            message: message(Kind::Answer(4)),
        },
        Wire::Missed {
            sender: 1,
            upto: 2,
            count: 3,
        },
        Wire::Members(vec![introduction()]),
        Wire::Passed(Box::new(Passed {
            from: "a".into(),
            to: vec!["b".into()],
            n: 1,
            missed: 2,
            kind: Kind::Failure(9),
            data: Bytes::from_static(b"why"),
        })),
    ]
}

#[test]
fn what_is_written_is_read() {
    codec_checks::what_is_written_is_read(BusCodec, examples());
}

#[test]
fn a_payload_that_is_cut_or_changed_is_refused_or_another_one() {
    codec_checks::what_is_cut_or_changed_is_refused_or_another_one(BusCodec, examples());
}

#[test]
fn a_message_of_kyneta_s_is_known_with_the_id_of_its_peer() {
    for (payload, id) in [
        (&b"\xa1\x61t\x01"[..], None),
        (b"\xa2\x61t\x01\x62id\x62p1", Some("p1".to_owned())),
    ] {
        let known = codec_checks::decoded(BusCodec, &Bytes::from_static(payload));
        assert_eq!(known, Ok(Wire::Kyneta(id)));
    }
}

#[test]
fn a_bundle_that_lies_is_refused() {
    let send = |n: u8, flags, bundle: &[u8], more: u8| {
        let head = [0x86, 4, n, flags, 0x80, 5 * more, 0x40 | bundle.len() as u8];
        Bytes::from([&head[..], bundle].concat())
    };
    let two = b"\x41a\x41b";
    assert!(codec_checks::decoded(BusCodec, &send(2, 0, two, 1)).is_ok());
    for lie in [
        send(1, 0, two, 1),
        send(2, 1, two, 1),
        send(3, 0, two, 2),
        send(4, 0, b"\x41a\x41b\x41c", 1),
        send(2, 0, b"\x41a\x61b", 1),
        send(2, 0, b"\x41a\x42b", 1),
    ] {
        let said = codec_checks::decoded(BusCodec, &lie);
        let said = said.unwrap_err().to_string();
        assert!(said.contains("bundle"), "{said}");
    }
}
