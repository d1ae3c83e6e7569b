//! What a message of a bus costs: published to one and to seven others, awaited, asked.
//!
//! `cargo bench -p kyneta-uds --bench bus`: all members in one process with two worker threads; the listener is a member
//! that neither publishes nor is asked. Prints medians of five runs.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds::{Bus, BusIncoming, Identity, bus::Delivery};
use tokio::{runtime::Builder, sync::Notify};
use tower::{Service, ServiceExt as _, service_fn};

const RUNS: usize = 5;

#[derive(Debug, Default)]
struct Arrived {
    messages: AtomicU64,
    some: Notify,
}

impl Arrived {
    fn handler(
        self: Arc<Self>,
    ) -> impl Service<
        BusIncoming<String>,
        Response = (),
        Error = Infallible,
        Future = Ready<Result<(), Infallible>>,
    > + Send
    + 'static {
        service_fn(move |incoming: BusIncoming<String>| {
            match incoming.request {
                Some(request) => request.answer(&incoming.message).unwrap(),
                None => {
                    let before = self.messages.fetch_add(1, Ordering::AcqRel);
                    if before.is_multiple_of(64) {
                        self.some.notify_waiters();
                    }
                }
            }
            ready(Ok(()))
        })
    }

    async fn until(&self, count: u64) {
        while self.messages.load(Ordering::Acquire) < count {
            let _ = tokio::time::timeout(Duration::from_millis(1), self.some.notified()).await;
        }
    }
}

async fn join(path: &Path, id: &str, arrived: &Arc<Arrived>, delivery: Delivery) -> Bus<String> {
    Bus::builder(path)
        .identity(Identity::service(id).unwrap())
        .delivery(delivery)
        .join(arrived.clone().handler())
        .await
        .unwrap()
}

/// A listener, a publisher and `others`.
async fn members(
    path: &Path,
    others: usize,
    delivery: Delivery,
) -> (Vec<Bus<String>>, Bus<String>, Arc<Arrived>) {
    let arrived = Arc::<Arrived>::default();
    let mut all = vec![join(path, "listener", &Arc::default(), delivery).await];
    for number in 0..others {
        all.push(join(path, &format!("other-{number}"), &arrived, delivery).await);
    }
    let publisher = join(path, "publisher", &Arc::default(), delivery).await;
    while publisher.members().len() < others + 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (all, publisher, arrived)
}

/// Messages a second that each of the others receives.
async fn published(others: usize, size: usize, count: u64, delivery: Delivery) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let (all, mut publisher, arrived) = members(&path, others, delivery).await;
    let message = "x".repeat(size);
    let start = Instant::now();
    for _ in 0..count {
        drop(publisher.ready().await.unwrap().call(message.clone()));
    }
    arrived.until(count * others as u64).await;
    let taken = start.elapsed();
    drop((all, publisher));
    count as f64 / taken.as_secs_f64()
}

/// Microseconds of a message that is awaited, or of a request.
async fn awaited(asks: bool, count: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let (all, mut publisher, _) = members(&path, 1, Delivery::Once).await;
    let mut other = publisher.member("other-0").unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        match asks {
            true => drop(other.request("x".repeat(64)).await.unwrap()),
            false => drop(
                publisher
                    .ready()
                    .await
                    .unwrap()
                    .call("x".repeat(64))
                    .await
                    .unwrap(),
            ),
        }
        times.push(start.elapsed());
    }
    times.sort();
    drop(all);
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e6
}

fn median(runtime: &tokio::runtime::Runtime, run: impl AsyncFn() -> f64) -> f64 {
    let mut results: Vec<_> = (0..RUNS).map(|_| runtime.block_on(run())).collect();
    results.sort_by(f64::total_cmp);
    results.get(RUNS / 2).copied().unwrap_or_default()
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for (size, count) in [(64, 200_000), (1 << 10, 100_000), (64 << 10, 4_000)] {
        for others in [1, 7] {
            let count = count / others as u64;
            let once = median(&runtime, async || {
                published(others, size, count, Delivery::Once).await
            });
            let fast = median(&runtime, async || {
                published(others, size, count, Delivery::Fast).await
            });
            println!(
                "{size:>6} B to {others} others: {:8.0} a second, fast {:8.0}",
                once, fast
            );
        }
    }
    println!(
        "published and awaited: p50 {:.0} us",
        median(&runtime, async || awaited(false, 2_000).await)
    );
    println!(
        "asked and answered:    p50 {:.0} us",
        median(&runtime, async || awaited(true, 2_000).await)
    );
}
