//! What documents cost: joining where there are 10,000, an edit among 10, 10,000 and 50,000, many edits, and nothing.
//!
//! `cargo bench -p kyneta-uds --features store --bench documents`: exchanges of one path in one process with two worker
//! threads, plain JSON documents of 1 KiB. The relay's bounds are raised: by default a member presents 4,096 documents at
//! once, and then 1,000 a second. `-- FEWER` uses a tenth of the documents, for a first look; `-- JOIN` joins twenty
//! times, and does nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds::{
    ChannelMsg, DocId, Identity, MemberFacts, MemberKey, Peer, Rate, Rates, Relay, Router, Switch,
    SwitchConfig,
    documents::{Document, Edit, Exchange, MemoryStore, Schema, Substrate, SyncLimits},
};
use kyneta_uds_relay::Effect;
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

const SIZE: usize = 1 << 10;
const EDITS: u32 = 200_000;
const PEERS: usize = 10;
const JOINS: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);

/// A switch, and how many messages came in and went out.
struct Counting(Switch, Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counts {
    fn take(&self) -> (u64, u64) {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (taken(&self.received), taken(&self.sent))
    }
}

impl Counting {
    fn sent(&self, before: usize, effects: &[Effect]) {
        let new = effects.iter().skip(before);
        let sent = new.filter(|effect| matches!(effect, Effect::Send { .. }));
        self.1
            .sent
            .fetch_add(sent.count() as u64, Ordering::Relaxed);
    }
}

impl Router<ChannelMsg> for Counting {
    fn established(&mut self, member: MemberKey, facts: &MemberFacts, out: &mut Vec<Effect>) {
        let before = out.len();
        Router::established(&mut self.0, member, facts, out);
        self.sent(before, out);
    }

    fn received(&mut self, from: MemberKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
        let before = out.len();
        self.1.received.fetch_add(1, Ordering::Relaxed);
        Router::received(&mut self.0, from, msg, out);
        self.sent(before, out);
    }

    fn left(&mut self, member: MemberKey, out: &mut Vec<Effect>) {
        Router::left(&mut self.0, member, out);
    }

    fn wake_after(&self) -> Option<Duration> {
        Router::wake_after(&self.0)
    }

    fn woken(&mut self, out: &mut Vec<Effect>) {
        let before = out.len();
        Router::woken(&mut self.0, out);
        self.sent(before, out);
    }
}

fn schema() -> Schema {
    Schema::structure([("text", Schema::string()), ("hits", Schema::counter())]).unwrap()
}

fn id(number: usize) -> DocId {
    DocId::new(format!("document-{number}")).unwrap()
}

async fn join(
    path: &Path,
    name: &str,
    counts: &Arc<Counts>,
    store: Option<MemoryStore>,
) -> Exchange {
    let counts = counts.clone();
    let limits = SwitchConfig::default().max_documents_of_member(100_000);
    let relay = Relay::router(move || Counting(Switch::new(limits.clone()), counts.clone()));
    let rate = Rate {
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    let relay = relay.rates(Rates::default().interests(rate).presents(rate));
    let mut builder = Exchange::builder(Identity::service(name).unwrap())
        .schema(Substrate::Plain, schema())
        .limits(SyncLimits::default().max_opened_by_peer(100_000));
    if let Some(store) = store {
        builder = builder.store(store);
    }
    builder
        .join_with(Peer::builder(path).relay(relay))
        .await
        .unwrap()
}

/// Opens documents of 1 KiB.
fn open(exchange: &Exchange, count: usize) -> Vec<Document> {
    let schema = schema();
    let text = "x".repeat(SIZE);
    let open = |number| {
        let doc = exchange
            .open(id(number), Substrate::Plain, &schema)
            .unwrap();
        doc.edit(&[Edit::set("text", text.as_str())]).unwrap();
        doc
    };
    (0..count).map(open).collect()
}

fn has_all(exchange: &Exchange, count: usize) -> bool {
    let docs = exchange.documents();
    let has_text = |doc: &Document| doc.version().to_string().ends_with(":1");
    docs.len() == count && docs.iter().all(has_text)
}

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        // Looking at 10,000 documents takes a while, too.
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until all that is said about documents has been said.
async fn quiet(counts: &Counts) {
    let now = || counts.received.load(Ordering::Relaxed);
    let mut last = u64::MAX;
    while last != now() {
        last = now();
        sleep(Duration::from_millis(300)).await;
    }
}

/// Resident memory, KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time in milliseconds, and how often a thread went to sleep.
fn used() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .iter()
        .map(|at| fields.get(*at).unwrap().parse::<u64>().unwrap())
        .sum();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let switches = tasks.map(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    });
    (ticks * 10, switches.sum())
}

/// From the first that joins where one has all documents to the tenth.
async fn joining(count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let counts = Arc::<Counts>::default();
    let first = join(&path, "peer-0", &counts, None).await;
    open(&first, count);
    quiet(&counts).await;
    counts.take();
    let mut all = vec![first];
    for number in 1..PEERS {
        let memory = resident();
        let began = Instant::now();
        let peer = join(&path, &format!("peer-{number}"), &counts, None).await;
        until(|| has_all(&peer, count)).await;
        let took = began.elapsed();
        quiet(&counts).await;
        let (received, sent) = counts.take();
        if [1, 2, PEERS - 1].contains(&number) {
            println!(
                "{count} documents, peer {}: {took:?}; {received} messages to the hub, {sent} from it; {} bytes a \
                 document",
                number + 1,
                (resident().saturating_sub(memory) << 10) / count as u64
            );
        }
        all.push(peer);
    }
    let (time, switches) = used();
    sleep(Duration::from_secs(10)).await;
    let (after, later) = used();
    println!(
        "{count} documents, {PEERS} peers, idle for 10 s: {} ms of processor time, {} wake-ups",
        after - time,
        later - switches
    );
}

/// The second of two that joins where the first has all documents, again and again.
async fn joining_again(count: usize) {
    let mut times = Vec::new();
    for _ in 0..JOINS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.sock");
        let counts = Arc::<Counts>::default();
        let first = join(&path, "a", &counts, None).await;
        open(&first, count);
        quiet(&counts).await;
        let began = Instant::now();
        let second = join(&path, "b", &counts, None).await;
        // A lost message would keep it waiting for ever.
        timeout(LIMIT, until(|| has_all(&second, count)))
            .await
            .expect("not all documents have come");
        times.push(began.elapsed());
        second.dispose().await;
        first.dispose().await;
    }
    times.sort();
    println!(
        "{count} documents, {JOINS} joins: {:?} to {:?}, median {:?}",
        times[0],
        times[JOINS - 1],
        times[JOINS / 2]
    );
}

/// One edit in one of many, until the other has it.
async fn one_edit(count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let counts = Arc::<Counts>::default();
    let (a, b) = (
        join(&path, "a", &counts, None).await,
        join(&path, "b", &counts, None).await,
    );
    let docs = open(&a, count);
    until(|| has_all(&b, count)).await;
    quiet(&counts).await;
    counts.take();
    let (here, there) = (&docs[count / 2], b.get(docs[count / 2].id()).unwrap());
    let mut times = Vec::new();
    let mut changes = there.changes();
    for _ in 0..1_000 {
        let began = Instant::now();
        here.edit(&[Edit::increment("hits", 1.0)]).unwrap();
        changes.next().await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    let (received, sent) = counts.take();
    println!(
        "one edit among {count}: median {:?}; 1,000 edits were {received} messages to the hub, {sent} from it",
        times[times.len() / 2]
    );
}

/// Small edits, one after the other, until the other has the last.
async fn many_edits(with_store: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let counts = Arc::<Counts>::default();
    let store = with_store.then(MemoryStore::new);
    let (a, b) = (
        join(&path, "a", &counts, store).await,
        join(&path, "b", &counts, None).await,
    );
    let here = a.open(id(0), Substrate::Plain, &schema()).unwrap();
    let there = b.open(id(0), Substrate::Plain, &schema()).unwrap();
    here.synced().await.unwrap();
    quiet(&counts).await;
    counts.take();
    let began = Instant::now();
    for number in 0..EDITS {
        here.edit(&[Edit::increment("hits", 1.0)]).unwrap();
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until(|| there.version() == here.version()).await;
    let took = began.elapsed();
    let (received, _) = counts.take();
    println!(
        "{EDITS} edits, {}: {:.0} a second in {received} messages",
        if with_store {
            "with a store in memory"
        } else {
            "without a store"
        },
        f64::from(EDITS) / took.as_secs_f64()
    );
}

fn main() {
    let is_given = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    let count = if is_given("FEWER") { 1_000 } else { 10_000 };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // A task of its own, as a program has.
        if is_given("JOIN") {
            return tokio::spawn(joining_again(count)).await.unwrap();
        }
        tokio::spawn(joining(count)).await.unwrap();
        for count in [10, count, 5 * count] {
            tokio::spawn(one_edit(count)).await.unwrap();
        }
        for with_store in [false, true] {
            tokio::spawn(many_edits(with_store)).await.unwrap();
        }
    });
}
