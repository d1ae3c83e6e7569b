//! Nanoseconds per message; run by hand:
//! `cargo test --release -p kyneta-uds-cbor --test speed -- --ignored --nocapture`

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use kyneta_uds_cbor::{ChannelCodec, Codec, SerdeCodec};
use kyneta_uds_core::{
    ChannelMsg, DocEntry, DocId, Establish, Features, Identity, Offer, Payload, ReplicaType,
    SchemaHash, Version, WriteBuf,
};

const ROUNDS: u32 = 1_000_000;

fn time(what: &str, rounds: u32, mut round: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..rounds).for_each(|_| round());
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds));
    }
    println!("{what:<44} {best:8.1} ns");
}

fn encode(codec: &mut ChannelCodec, msg: &ChannelMsg, buf: &mut WriteBuf) -> Bytes {
    codec.encode(msg, &mut buf.writer()).unwrap();
    let bytes = Bytes::copy_from_slice(buf.front());
    buf.advance(buf.len());
    bytes
}

fn entries(count: usize) -> Vec<DocEntry> {
    let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let entry = |i| {
        let hash = SchemaHash::new("00a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap();
        DocEntry::new(
            DocId::new(format!("document-{i}")).unwrap(),
            replica.clone(),
            hash,
        )
    };
    (0..count).map(entry).collect()
}

#[test]
#[ignore = "measures; run by hand in release"]
fn speed() {
    let mut buf = WriteBuf::default();
    let (mut a, mut b) = (ChannelCodec::new(), ChannelCodec::new());
    let establish = Establish::new(Identity::service("a").unwrap()).features(Features::aliasing());
    let establish = ChannelMsg::Establish(establish);
    let docs = entries(100);
    let doc = docs[7].doc.clone();
    for msg in [&establish, &ChannelMsg::Present(docs.clone())] {
        let bytes = encode(&mut a, msg, &mut buf);
        b.decode(Payload::new(&bytes, 0..bytes.len())).unwrap();
    }
    encode(&mut b, &establish, &mut buf);
    let bytes = encode(&mut ChannelCodec::new(), &establish, &mut buf);
    a.decode(Payload::new(&bytes, 0..bytes.len())).unwrap();

    let data = Bytes::from(vec![7; 64]);
    let offer = |doc: &DocId| {
        ChannelMsg::Offer(Offer::binary(
            doc.clone(),
            Version::new("12").unwrap(),
            data.clone(),
        ))
    };
    let aliased = offer(&doc);
    let named = offer(&DocId::new("never-announced").unwrap());
    let pair = [offer(&docs[7].doc), offer(&docs[8].doc)];
    time("encode offer 64 B, alias", ROUNDS, || {
        a.encode(black_box(&aliased), &mut buf.writer()).unwrap();
        if buf.len() > 60_000 {
            buf.advance(buf.len());
        }
    });
    time("(for scale: one Bytes::slice, 64 B)", ROUNDS, || {
        black_box(black_box(&data).slice(1..9));
    });
    let mut turn = 0;
    time("encode offer 64 B, alias, two documents", ROUNDS, || {
        turn ^= 1;
        a.encode(black_box(&pair[turn]), &mut buf.writer()).unwrap();
        if buf.len() > 60_000 {
            buf.advance(buf.len());
        }
    });
    time("encode offer 64 B, docId", ROUNDS, || {
        a.encode(black_box(&named), &mut buf.writer()).unwrap();
        if buf.len() > 60_000 {
            buf.advance(buf.len());
        }
    });
    buf.advance(buf.len());
    for (what, msg) in [("alias", &aliased), ("docId", &named)] {
        let read = encode(&mut a, msg, &mut buf);
        time(&format!("decode offer 64 B, {what}"), ROUNDS, || {
            black_box(
                b.decode(Payload::new(black_box(&read), 0..read.len()))
                    .unwrap(),
            );
        });
        let mut odd = vec![read[0] + 1];
        odd.extend(b"\x61z\x00");
        odd.extend(&read[1..]);
        let odd = Bytes::from(odd);
        time(
            &format!("decode offer 64 B, {what}, odd key"),
            ROUNDS / 4,
            || {
                black_box(
                    b.decode(Payload::new(black_box(&odd), 0..odd.len()))
                        .unwrap(),
                );
            },
        );
    }
    let present = ChannelMsg::Present(docs);
    time("encode present of 100, known", ROUNDS / 100, || {
        a.encode(black_box(&present), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
    time(
        "encode present of 100, fresh connection",
        ROUNDS / 100,
        || {
            ChannelCodec::new()
                .encode(black_box(&present), &mut buf.writer())
                .unwrap();
            buf.advance(buf.len());
        },
    );
    let read = encode(&mut a, &present, &mut buf);
    time("decode present of 100, known", ROUNDS / 100, || {
        black_box(
            b.decode(Payload::new(black_box(&read), 0..read.len()))
                .unwrap(),
        );
    });
    let read = encode(&mut ChannelCodec::new(), &present, &mut buf);
    time(
        "decode present of 100, fresh connection",
        ROUNDS / 100,
        || {
            let mut fresh = ChannelCodec::new();
            black_box(
                fresh
                    .decode(Payload::new(black_box(&read), 0..read.len()))
                    .unwrap(),
            );
        },
    );
    let mut serde = SerdeCodec::<(u8, String)>::new();
    let msg = (7, "x".repeat(64));
    time("encode (u8, String) of 64 B, serde", ROUNDS / 10, || {
        serde.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
}
