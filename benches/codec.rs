//! What a message costs to write and to read, beside ciborium with serde.
//!
//! `cargo bench --bench codec`

#![allow(clippy::unwrap_used)] // A bench that cannot go on says so by panicking.

use divan::{Bencher, black_box, counter::BytesCount};
use kyneta_uds::{
    Bytes, ChannelCodec, ChannelMsg, Codec, DocEntry, DocId, Establish, Features, Identity, Offer,
    Payload, ReplicaType, SchemaHash, SerdeCodec, Version, WriteBuf,
};
use serde::{Deserialize, Serialize};

fn main() {
    divan::main();
}

/// Payload sizes, bytes.
const SIZES: [usize; 4] = [0, 64, 1024, 65_536];

/// Two ends of a connection that have introduced themselves and announced their documents.
struct Ends {
    sender: ChannelCodec,
    receiver: ChannelCodec,
    buf: WriteBuf,
}

impl Ends {
    fn new(docs: usize) -> Self {
        let mut ends = Self {
            sender: ChannelCodec::new(),
            receiver: ChannelCodec::new(),
            buf: WriteBuf::default(),
        };
        let establish = Establish::new(Identity::service("peer").unwrap());
        let establish = ChannelMsg::from(establish.features(Features::aliasing()));
        let there = ends.encode(&establish);
        ends.decode(&there);
        std::mem::swap(&mut ends.sender, &mut ends.receiver);
        let back = ends.encode(&establish);
        ends.decode(&back);
        std::mem::swap(&mut ends.sender, &mut ends.receiver);
        let announced = ends.encode(&present(docs));
        ends.decode(&announced);
        ends
    }

    fn encode(&mut self, msg: &ChannelMsg) -> Bytes {
        self.sender.encode(msg, &mut self.buf.writer()).unwrap();
        let mut bytes = Vec::new();
        while !self.buf.is_empty() {
            let front = self.buf.front();
            bytes.extend_from_slice(front);
            let written = front.len();
            self.buf.advance(written);
        }
        bytes.into()
    }

    fn decode(&mut self, bytes: &Bytes) -> ChannelMsg {
        let payload = Payload::new(bytes, 0..bytes.len());
        self.receiver.decode(payload).unwrap()
    }
}

fn present(docs: usize) -> ChannelMsg {
    let entry = |i| {
        DocEntry::new(
            DocId::new(format!("document-{i}")).unwrap(),
            ReplicaType::new("loro", 1.0, 0.0).unwrap(),
            SchemaHash::new("00a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap(),
        )
    };
    ChannelMsg::Present((0..docs).map(entry).collect())
}

fn offer(size: usize) -> ChannelMsg {
    let doc = DocId::new("document-0").unwrap();
    Offer::binary(doc, Version::new("17").unwrap(), vec![7; size]).into()
}

/// Into a lent buffer that is emptied at once; a large payload is attached, not copied.
#[divan::bench(args = SIZES)]
fn encode_offer(bencher: Bencher<'_, '_>, size: usize) {
    let (mut ends, msg) = (Ends::new(1), offer(size));
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let Ends { sender, buf, .. } = &mut ends;
        sender.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
}

/// Out of a read's bytes, document by alias; payload and version are ranges of them.
#[divan::bench(args = SIZES)]
fn decode_offer(bencher: Bencher<'_, '_>, size: usize) {
    let mut ends = Ends::new(1);
    let bytes = ends.encode(&offer(size));
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| ends.decode(black_box(&bytes)));
}

#[divan::bench(args = [1, 100, 10_000])]
fn encode_present(bencher: Bencher<'_, '_>, docs: usize) {
    let (mut ends, msg) = (Ends::new(docs), present(docs));
    bencher.bench_local(|| {
        let Ends { sender, buf, .. } = &mut ends;
        sender.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
}

#[divan::bench(args = [1, 100, 10_000])]
fn decode_present(bencher: Bencher<'_, '_>, docs: usize) {
    let mut ends = Ends::new(docs);
    let bytes = ends.encode(&present(docs));
    bencher.bench_local(|| ends.decode(black_box(&bytes)));
}

/// The same facts for serde.
#[derive(Clone, Serialize, Deserialize)]
struct Plain {
    t: u8,
    pk: u8,
    pe: u8,
    #[serde(with = "serde_bytes")]
    d: Vec<u8>,
    v: String,
    dx: u32,
}

fn plain(size: usize) -> Plain {
    Plain {
        t: 0x12,
        pk: 0,
        pe: 1,
        d: vec![7; size],
        v: "17".into(),
        dx: 0,
    }
}

#[divan::bench(args = SIZES)]
fn encode_with_ciborium(bencher: Bencher<'_, '_>, size: usize) {
    let (mut codec, msg) = (SerdeCodec::<Plain>::new(), plain(size));
    let mut buf = WriteBuf::default();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        codec.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
}

#[divan::bench(args = SIZES)]
fn decode_with_ciborium(bencher: Bencher<'_, '_>, size: usize) {
    let mut codec = SerdeCodec::<Plain>::new();
    let mut buf = WriteBuf::default();
    codec.encode(&plain(size), &mut buf.writer()).unwrap();
    let bytes = Bytes::copy_from_slice(buf.front());
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let payload = Payload::new(black_box(&bytes), 0..bytes.len());
        codec.decode(payload).unwrap()
    });
}
