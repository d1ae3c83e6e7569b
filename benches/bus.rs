//! What a message of a bus costs: published to one and to seven others, awaited, asked.
//!
//! `cargo bench -p kyneta-uds --bench bus`: all members in one process with two worker threads; the listener is a member
//! that neither publishes nor is asked. Prints medians of five runs. `looked at`: the others have a handler that looks.

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

use kyneta_uds::{
    Bus, BusIncoming, Identity,
    bus::{BusIncomingRef, Delivery, Looking, Responder, look},
};
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
            self.one(&incoming.message, incoming.request);
            ready(Ok(()))
        })
    }

    fn looking(self: Arc<Self>) -> Looking<String> {
        look(move |incoming: BusIncomingRef<'_, String>| {
            self.one(incoming.message, incoming.request);
            Ok::<_, Infallible>(())
        })
    }

    fn one(&self, message: &str, request: Option<Responder>) {
        match request {
            Some(request) => request.answer(&message).unwrap(),
            None => {
                let before = self.messages.fetch_add(1, Ordering::AcqRel);
                if before.is_multiple_of(64) {
                    self.some.notify_waiters();
                }
            }
        }
    }

    async fn until(&self, count: u64) {
        while self.messages.load(Ordering::Acquire) < count {
            let _ = tokio::time::timeout(Duration::from_millis(1), self.some.notified()).await;
        }
    }
}

/// What the members of a run do.
#[derive(Debug, Clone, Copy, Default)]
struct How {
    delivery: Delivery,
    looks: bool,
}

async fn join(path: &Path, id: &str, arrived: &Arc<Arrived>, how: How) -> Bus<String> {
    let builder = Bus::builder(path)
        .identity(Identity::service(id).unwrap())
        .delivery(how.delivery);
    match how.looks {
        true => builder.join(arrived.clone().looking()).await.unwrap(),
        false => builder.join(arrived.clone().handler()).await.unwrap(),
    }
}

/// A listener, a publisher and `others`.
async fn members(
    path: &Path,
    others: usize,
    how: How,
) -> (Vec<Bus<String>>, Bus<String>, Arc<Arrived>) {
    let arrived = Arc::<Arrived>::default();
    let mut all = vec![join(path, "listener", &Arc::default(), how).await];
    for number in 0..others {
        all.push(join(path, &format!("other-{number}"), &arrived, how).await);
    }
    let publisher = join(path, "publisher", &Arc::default(), how).await;
    while publisher.members().len() < others + 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (all, publisher, arrived)
}

/// Messages a second that each of the others receives.
async fn published(others: usize, size: usize, count: u64, how: How) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let (all, mut publisher, arrived) = members(&path, others, how).await;
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
    let (all, mut publisher, _) = members(&path, 1, How::default()).await;
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
            let rate = |delivery, looks| {
                let how = How { delivery, looks };
                median(&runtime, async || published(others, size, count, how).await)
            };
            println!(
                "{size:>6} B to {others} others: {:8.0} a second, looked at {:8.0}, fast {:8.0}, looked at {:8.0}",
                rate(Delivery::Once, false),
                rate(Delivery::Once, true),
                rate(Delivery::Fast, false),
                rate(Delivery::Fast, true),
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
