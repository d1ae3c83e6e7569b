//! The time to encode and to decode a message, compared with ciborium and serde.
//!
//! `cargo bench --bench codec`

#![allow(clippy::unwrap_used)] // A bench panics when it fails.

mod common;

use common::{Ends, offer, present};
use divan::{Bencher, black_box, counter::BytesCount};
use kyneta_uds::{Bytes, Codec, Payload, SerdeCodec, WriteBuf};
use serde::{Deserialize, Serialize};

fn main() {
    divan::main();
}

/// Payload sizes, bytes.
const SIZES: [usize; 4] = [0, 64, 1024, 65_536];

/// Into a buffer that is emptied at once; a large payload is attached, not copied.
#[divan::bench(args = SIZES)]
fn encode_offer(bencher: Bencher<'_, '_>, size: usize) {
    let (mut ends, msg) = (Ends::new(1), offer(size));
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let Ends { sender, buf, .. } = &mut ends;
        sender.encode(black_box(&msg), &mut buf.writer()).unwrap();
        buf.advance(buf.len());
    });
}

/// From a read buffer, with an alias; payload and version are ranges of the buffer.
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

/// The same fields for serde.
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
