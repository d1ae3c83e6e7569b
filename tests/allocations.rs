//! Allocations in steady state: none to send a message, and at most one block for each read of the
//! socket, which brings many messages.

#![allow(clippy::unwrap_used)] // Helpers stand beside the test.

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kyneta_uds::{Client, Incoming, Server};
use support::{Bus, offer, soon};
use tower::service_fn;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM_UP: u64 = 20_000;
const COUNT: u64 = 100_000;
const SIZE: usize = 64;

#[tokio::test]
async fn a_message_in_steady_state_allocates_nothing_of_its_own() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let bus = Bus::new();
    let seen = Arc::new(AtomicU64::new(0));
    let (count, all) = (seen.clone(), Arc::new(tokio::sync::Notify::new()));
    let notify = all.clone();
    let handler = service_fn(move |incoming: Incoming| {
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        if now.is_multiple_of(WARM_UP) {
            notify.notify_one();
        }
        drop(incoming);
        std::future::ready(Ok::<(), Infallible>(()))
    });
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let mut client = Client::builder(&bus.path).connect(ignore).await.unwrap();
    let msg = offer("d", SIZE);

    let mut sent = 0;
    let mut blocks = Vec::new();
    while sent < WARM_UP + COUNT {
        blocks.push(dhat::HeapStats::get().total_blocks);
        for _ in 0..WARM_UP {
            client.queue(msg.clone()).await.unwrap();
        }
        sent += WARM_UP;
        while seen.load(Ordering::Relaxed) < sent {
            soon(all.notified()).await;
        }
    }
    blocks.push(dhat::HeapStats::get().total_blocks);
    let steady = blocks.last().unwrap() - blocks.get(1).unwrap();
    let frames = COUNT * (SIZE as u64 + 40);
    println!("{steady} blocks for {COUNT} messages of {SIZE} B, {frames} B on the wire");
    // Sending allocates nothing. A read allocates one block at most, and takes up to 64 KiB; on average at least an eighth of
    // that while messages keep coming. The hub holds those of a round, and with them the block, until the round is over.
    assert!(steady <= frames / (8 << 10) + 64, "{steady}");
    client.dispose().await;
    server.dispose().await;
}
