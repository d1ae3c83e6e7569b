//! What the layers cost over iroh, beside a bare stream of iroh's in the same run.
//!
//! `cargo bench --manifest-path layers/iroh/Cargo.toml`: messages of 1 KiB one way, and round trips of 64 bytes, between
//! two endpoints on loopback, both in this process, with two worker threads. The bare stream has frames with a header by
//! hand, and writes 64 KiB at once where it streams. Prints medians of nine interleaved runs, and their ratio.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{Bytes, ChannelMsg, DocId, Identity, Offer, Target, Version};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_handshake::HandshakeLayer;
use kyneta_uds_iroh::{IrohConnector, IrohEngine, IrohSettings, IrohStream, SecretKey};
use kyneta_uds_machines::{Accept as _, Remote};
use kyneta_uds_queue::{Handle, QueueConfig, queue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Builder,
    sync::Notify,
};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

const RUNS: usize = 9;
const STREAMED: u64 = 50_000;
const STREAMED_SIZE: usize = 1024;
const TRIPS: u64 = 3_000;
const TRIP_SIZE: usize = 64;
/// The header of a frame.
const HEADER: usize = 10;
const BLOCK: usize = 64 << 10;

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (a, b) = (engine(1).await, engine(2).await);
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..RUNS {
            let (dialed, accepted) = streams(&a, &b).await;
            times[0].push(bare_stream(dialed, accepted).await);
            times[1].push(stream(&a, &b).await);
            let (dialed, accepted) = streams(&a, &b).await;
            times[2].push(bare_trips(dialed, accepted).await);
            times[3].push(trips(&a, &b).await);
        }
        let [bare_stream, stream, bare_trips, trips] = times.map(median);
        report("stream 1 KiB", bare_stream, stream, STREAMED);
        report("rtt 64 B", bare_trips, trips, TRIPS);
    });
}

fn report(what: &str, bare: Duration, ours: Duration, count: u64) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let ratio = bare.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{what}: bare {:.2} us, the layers {:.2} us each, ratio {ratio:.2}",
        each(bare),
        each(ours)
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn engine(key: u8) -> IrohEngine {
    let at = SocketAddr::from(([127, 0, 0, 1], 0));
    let key = SecretKey::from_bytes(&[key; 32]);
    IrohEngine::bind(&key, at, IrohSettings::default())
        .await
        .unwrap()
}

/// Both ends of a stream: the one that has dialed, and the one that was accepted.
async fn streams(a: &IrohEngine, b: &IrohEngine) -> (IrohStream, IrohStream) {
    let mut acceptor = b.acceptor();
    let dial = async {
        let remote = Remote::new(b.key(), b.address());
        let mut dialed = a.connector().oneshot(remote).await.unwrap();
        dialed.write_all(&[1]).await.unwrap();
        dialed
    };
    let accept = async {
        let accepted = acceptor.accept().await.unwrap();
        let mut accepted = accepted.open().await.unwrap();
        accepted.read_u8().await.unwrap();
        accepted
    };
    tokio::join!(dial, accept)
}

async fn bare_stream(mut from: IrohStream, mut to: IrohStream) -> Duration {
    let frame = vec![7; HEADER + STREAMED_SIZE];
    let total = frame.len() as u64 * STREAMED;
    let reader = tokio::spawn(async move {
        let (mut left, mut block) = (total, vec![0; BLOCK]);
        while left > 0 {
            left -= to.read(&mut block).await.unwrap() as u64;
        }
        to
    });
    let start = Instant::now();
    let mut block = Vec::with_capacity(BLOCK + frame.len());
    for _ in 0..STREAMED {
        block.extend_from_slice(&frame);
        if block.len() >= BLOCK {
            from.write_all(&block).await.unwrap();
            block.clear();
        }
    }
    from.write_all(&block).await.unwrap();
    reader.await.unwrap();
    start.elapsed()
}

async fn bare_trips(mut from: IrohStream, mut to: IrohStream) -> Duration {
    let frame = vec![7; HEADER + TRIP_SIZE];
    let mut echoed = frame.clone();
    let echo = tokio::spawn(async move {
        for _ in 0..TRIPS {
            to.read_exact(&mut echoed).await.unwrap();
            to.write_all(&echoed).await.unwrap();
        }
        to
    });
    let mut back = frame.clone();
    let start = Instant::now();
    for _ in 0..TRIPS {
        from.write_all(&frame).await.unwrap();
        from.read_exact(&mut back).await.unwrap();
    }
    let time = start.elapsed();
    echo.await.unwrap();
    time
}

/// Counts what has come.
#[derive(Debug, Default)]
struct Arrived {
    count: AtomicU64,
    some: Notify,
}

impl Arrived {
    async fn until(&self, count: u64) {
        loop {
            let notified = self.some.notified();
            if self.count.load(Ordering::Acquire) >= count {
                return;
            }
            notified.await;
        }
    }
}

/// The layers over a stream: counts each message, wakes after each `wakes` of them, and sends it back if it is to.
async fn layers(
    target: Target<IrohStream, Remote<SocketAddr>>,
    connector: IrohConnector,
    arrived: Arc<Arrived>,
    wakes: u64,
    echoes: bool,
) -> Handle<ChannelMsg> {
    let identity = Identity::service(if echoes { "echo" } else { "end" }).unwrap();
    let stack = ServiceBuilder::new()
        .layer(HandshakeLayer::new(identity))
        .layer(CborLayer::new())
        .layer(FramingLayer::new())
        .service(connector);
    let channel = stack.oneshot(target).await.unwrap();
    let (handle, driver) = queue(QueueConfig::default());
    let back = handle.downgrade();
    let handler = service_fn(move |msg: ChannelMsg| {
        let count = arrived.count.fetch_add(1, Ordering::AcqRel) + 1;
        if count.is_multiple_of(wakes) {
            arrived.some.notify_waiters();
        }
        if echoes && let Some(mut handle) = back.upgrade() {
            drop(handle.try_queue(msg));
        }
        ready(Ok::<_, std::convert::Infallible>(()))
    });
    tokio::spawn(driver.drive(channel, handler));
    handle
}

/// Handles of both sides, and what has come there.
async fn both(
    a: &IrohEngine,
    b: &IrohEngine,
    wakes: u64,
    echoes: bool,
) -> (Handle<ChannelMsg>, Handle<ChannelMsg>, [Arc<Arrived>; 2]) {
    let arrived = [Arc::<Arrived>::default(), Arc::default()];
    let [here, there] = arrived.clone();
    let mut acceptor = b.acceptor();
    let dialed = Target::Connect(Remote::new(b.key(), b.address()));
    let accept = async {
        let accepted = acceptor.accept().await.unwrap();
        let accepted = Target::Accepted(accepted.open().await.unwrap());
        layers(accepted, b.connector(), there, wakes, echoes).await
    };
    let (first, second) = tokio::join!(layers(dialed, a.connector(), here, 1, false), accept);
    (first, second, arrived)
}

fn offer(size: usize) -> ChannelMsg {
    let data = Bytes::from(vec![7; size]);
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("1").unwrap());
    Offer::binary(doc, version, data).into()
}

async fn stream(a: &IrohEngine, b: &IrohEngine) -> Duration {
    let (mut from, to, [_, there]) = both(a, b, STREAMED, false).await;
    let msg = offer(STREAMED_SIZE);
    let start = Instant::now();
    for _ in 0..STREAMED {
        from.queue(msg.clone()).await.unwrap();
    }
    there.until(STREAMED).await;
    let time = start.elapsed();
    drop(to);
    time
}

async fn trips(a: &IrohEngine, b: &IrohEngine) -> Duration {
    let (mut from, to, [here, _]) = both(a, b, 1, true).await;
    let msg = offer(TRIP_SIZE);
    let start = Instant::now();
    for trip in 1..=TRIPS {
        from.queue(msg.clone()).await.unwrap();
        here.until(trip).await;
    }
    let time = start.elapsed();
    drop(to);
    time
}
