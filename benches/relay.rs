//! What passing offers on between members costs, beside sending them to the same members.
//!
//! `cargo bench -p kyneta-uds --bench relay`: offers of 64 bytes from one member, through the listener, to three others;
//! the same offers from the listener to the three; and the same through a listener whose members hold ten or 50,000
//! documents beside. Two worker threads, all ends in one process. Prints medians of nine runs, by time and by processor
//! time: two threads share the work of three receivers better than that of two hops.

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
    Bytes, ChannelMsg, Client, DocEntry, DocId, Identity, Incoming, Interest, Offer, Rate, Rates,
    ReconnectPolicy, Relay, ReplicaType, SchemaHash, Server, SwitchConfig, Version,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime::Builder, sync::Notify};
use tower::{Service, service_fn};

const RECEIVERS: u64 = 3;
const OFFERS: u64 = 100_000;
const RUNS: usize = 9;
/// Documents that one message announces.
const AT_ONCE: usize = 1_000;

/// Counts offers, and says when enough have come.
#[derive(Debug, Default)]
struct Arrived {
    offers: AtomicU64,
    wanted: AtomicU64,
    presents: AtomicU64,
    some: Notify,
}

impl Arrived {
    async fn offers(&self, count: u64) {
        self.wanted.store(count, Ordering::SeqCst);
        self.until(|| self.offers.load(Ordering::SeqCst) >= count)
            .await;
    }

    async fn until(&self, is_done: impl Fn() -> bool) {
        loop {
            let notified = self.some.notified();
            if is_done() {
                return;
            }
            notified.await;
        }
    }

    fn handler(
        self: Arc<Self>,
    ) -> impl Service<
        Incoming,
        Response = (),
        Error = Infallible,
        Future = Ready<Result<(), Infallible>>,
    > + Clone
    + Send
    + 'static {
        service_fn(move |incoming: Incoming| {
            match &incoming.message {
                ChannelMsg::Offer(_) => {
                    let arrived = self.offers.fetch_add(1, Ordering::SeqCst) + 1;
                    if arrived == self.wanted.load(Ordering::SeqCst) {
                        self.some.notify_waiters();
                    }
                }
                ChannelMsg::Present(entries) => {
                    let count = entries.len() as u64;
                    self.presents.fetch_add(count, Ordering::AcqRel);
                    self.some.notify_waiters();
                }
                _ => {}
            }
            ready(Ok(()))
        })
    }
}

/// What a run has taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    time: Duration,
    /// Of both processors.
    work: Duration,
}

struct Start {
    at: Instant,
    work: Duration,
}

impl Start {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            work: worked(),
        }
    }

    fn taken(&self) -> Taken {
        Taken {
            time: self.at.elapsed(),
            work: worked().saturating_sub(self.work),
        }
    }
}

/// The processor time of this process.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().unwrap()
}

fn doc(number: usize) -> DocId {
    DocId::new(format!("document-{number:06}")).unwrap()
}

fn present(numbers: impl Iterator<Item = usize>) -> ChannelMsg {
    let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let schema = SchemaHash::new("00aa").unwrap();
    let entry = |number| DocEntry::new(doc(number), replica.clone(), schema.clone());
    ChannelMsg::Present(numbers.map(entry).collect())
}

fn offer() -> ChannelMsg {
    let data = Bytes::from(vec![7; 64]);
    Offer::binary(doc(0), Version::new("1").unwrap(), data)
        .delta()
        .into()
}

async fn client(path: &Path, id: &str, arrived: &Arc<Arrived>) -> Client {
    Client::builder(path)
        .identity(Identity::service(id).unwrap())
        .reconnect(ReconnectPolicy::off())
        .connect(arrived.clone().handler())
        .await
        .unwrap()
}

async fn receivers(path: &Path, arrived: &Arc<Arrived>) -> Vec<Client> {
    let mut receivers = Vec::new();
    for number in 0..RECEIVERS {
        receivers.push(client(path, &format!("receiver-{number}"), arrived).await);
    }
    receivers
}

/// From one member to the three others, where members hold `documents`.
async fn relayed(documents: usize) -> Taken {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
    let config = SwitchConfig::default().max_documents_of_member(documents);
    let unbounded = Rate {
        per_second: u32::MAX,
        burst: u32::MAX,
    };
    let rates = Rates::default().interests(unbounded).presents(unbounded);
    let server = Server::builder(&path)
        .relay(Relay::from(config).rates(rates))
        .listen(ignore)
        .await
        .unwrap();
    let arrived = Arc::<Arrived>::default();
    let mut receivers = receivers(&path, &arrived).await;
    let mut sender = client(&path, "sender", &Arc::default()).await;
    for first in (0..documents).step_by(AT_ONCE) {
        let last = documents.min(first + AT_ONCE);
        sender.queue(present(first..last)).await.unwrap();
    }
    let all = RECEIVERS * documents as u64;
    arrived
        .until(|| arrived.presents.load(Ordering::Acquire) >= all)
        .await;
    for receiver in &mut receivers {
        receiver.queue(present(0..1)).await.unwrap();
        receiver.queue(Interest::new(doc(0)).into()).await.unwrap();
        receiver.flushed().await.unwrap();
    }
    // Answers the interests.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..RECEIVERS {
        sender.queue(offer()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = arrived.offers.load(Ordering::Acquire);
    let offer = offer();
    let start = Start::now();
    for _ in 0..OFFERS {
        sender.queue(offer.clone()).await.unwrap();
    }
    arrived.offers(before + OFFERS * RECEIVERS).await;
    let taken = start.taken();
    server.dispose().await;
    taken
}

/// From the listener to the three.
async fn broadcast() -> Taken {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let ignore = service_fn(async |_: Incoming| Ok::<_, Infallible>(()));
    let server = Server::builder(&path)
        .relay(false)
        .listen(ignore)
        .await
        .unwrap();
    let arrived = Arc::<Arrived>::default();
    let _receivers = receivers(&path, &arrived).await;
    while server.connection_count() < RECEIVERS as usize {
        tokio::task::yield_now().await;
    }
    server.broadcast(present(0..1)).await;
    let mut connections = server.connections();
    let offer = offer();
    let start = Start::now();
    for _ in 0..OFFERS {
        for connection in &mut connections {
            connection.queue(offer.clone()).await.unwrap();
        }
    }
    arrived.offers(OFFERS * RECEIVERS).await;
    let taken = start.taken();
    server.dispose().await;
    taken
}

/// From one member, by a handler that sends to all the others itself.
async fn forwarded() -> Taken {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let to: Arc<std::sync::OnceLock<Vec<kyneta_uds::Connection>>> = Arc::default();
    let known = to.clone();
    let forward = service_fn(move |incoming: Incoming| {
        let known = known.clone();
        async move {
            for connection in known.get().into_iter().flatten() {
                let mut connection = connection.clone();
                let _ = connection.queue(incoming.message.clone()).await;
            }
            Ok::<_, Infallible>(())
        }
    });
    let server = Server::builder(&path)
        .relay(false)
        .listen(forward)
        .await
        .unwrap();
    let arrived = Arc::<Arrived>::default();
    let _receivers = receivers(&path, &arrived).await;
    while server.connection_count() < RECEIVERS as usize {
        tokio::task::yield_now().await;
    }
    to.set(server.connections()).unwrap();
    let mut sender = client(&path, "sender", &Arc::default()).await;
    sender.queue(present(0..1)).await.unwrap();
    let offer = offer();
    let start = Start::now();
    for _ in 0..OFFERS {
        sender.queue(offer.clone()).await.unwrap();
    }
    arrived.offers(OFFERS * RECEIVERS).await;
    let taken = start.taken();
    server.dispose().await;
    taken
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        let run = async {
            let work = [
                broadcast().await,
                forwarded().await,
                relayed(10).await,
                relayed(50_000).await,
            ];
            Ok::<_, tokio::task::JoinError>(work)
        };
        let work = runtime.block_on(async { tokio::spawn(run).await.unwrap().unwrap() });
        for (times, taken) in times.iter_mut().zip(work) {
            times.push(taken);
        }
    }
    let names = [
        "by the listener to three",
        "by a member, forwarded by a handler",
        "by a member, relayed, 10 documents",
        "by a member, relayed, 50,000 documents",
    ];
    let median = |of: &[Taken], which: fn(&Taken) -> Duration| {
        let mut all: Vec<_> = of.iter().map(which).collect();
        all.sort();
        all.get(RUNS / 2).copied().unwrap_or_default().as_secs_f64()
    };
    let medians = times.map(|of| (median(&of, |of| of.time), median(&of, |of| of.work)));
    let [(base, base_work), ..] = medians;
    for (name, (time, work)) in names.into_iter().zip(medians) {
        let rate = (OFFERS * RECEIVERS) as f64 / time / 1000.0;
        let (ratio, work) = (time / base, work / base_work);
        println!(
            "{name:<40} {rate:7.0} k/s received, {ratio:.2} x the first, {work:.2} x its processor time"
        );
    }
}
