//! Clients send as fast as they can and read slowly while the server is replaced: at each handover, 16 MiB wait in the
//! server for each of them. Nothing is lost, twice, or out of order in either direction, no pause has to wait until that much is
//! copied, and memory does not grow with the number of handovers.
//!
//! Longer: `KYNETA_HANDOVERS=20 cargo test --release -p kyneta-uds --test handoff_processes full -- --nocapture`

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use kyneta_uds::{
    Bytes, ChannelMsg, Connection, DocId, Event, HandoffPolicy, Incoming, Offer, QueueConfig,
    Server, Version,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::parts::{client, input, say, start};

const CLIENTS: usize = 4;

/// What waits in the server for each client. A debug build would take seconds to encode as many small messages.
const fn waits(size: usize) -> usize {
    if cfg!(debug_assertions) && size < 1024 {
        return 1 << 20;
    }
    16 << 20
}

/// How many bytes or messages a client reads between two pauses: some 3 MB/s, and fewer of small ones.
const READS: usize = 64 << 10;
const READS_MESSAGES: usize = 64;
const PAUSE: Duration = Duration::from_millis(20);

/// What a server holds beside its queues.
const BASE: u64 = 64 << 20;

/// What waits is there as messages, and as bytes of the connection once it goes ahead, in a buffer that doubles as it grows.
const COPIES: usize = 1 + 2;

/// By the bytes alone: how many messages wait is no bound here.
fn queue(size: usize) -> QueueConfig {
    let queue = QueueConfig::default().max_bytes(waits(size));
    queue.max_messages(usize::MAX)
}

fn numbered(number: u64, size: usize) -> ChannelMsg {
    let mut data = vec![7; size];
    data.splice(..8, number.to_be_bytes());
    let (doc, version) = (DocId::new("d").unwrap(), Version::new("1").unwrap());
    Offer::binary(doc, version, Bytes::from(data)).into()
}

fn number(message: &ChannelMsg) -> u64 {
    let ChannelMsg::Offer(offer) = message else {
        panic!("{message:?}")
    };
    u64::from_be_bytes(*offer.data.as_slice().first_chunk().unwrap())
}

/// Reads what comes of one sender, which numbers its messages.
#[derive(Clone, Default)]
struct Reader {
    /// The first and the next number.
    seen: Arc<Mutex<Option<(u64, u64)>>>,
    /// Bytes since the last pause.
    read: Arc<AtomicUsize>,
    /// Reads as it comes.
    hurries: Arc<AtomicBool>,
}

impl Reader {
    async fn read(&self, message: &ChannelMsg, size: usize) -> Result<(), Infallible> {
        let number = number(message);
        {
            let mut seen = self.seen.lock().unwrap();
            let (_, next) = seen.get_or_insert((number, number));
            assert_eq!(number, *next, "lost, twice, or out of order");
            *next += 1;
        }
        let size = size.max(READS / READS_MESSAGES);
        if self.read.fetch_add(size, SeqCst) + size >= READS && !self.hurries.load(SeqCst) {
            self.read.store(0, SeqCst);
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Of each sender the first number, and the one after the last.
fn seen(by: &[Reader]) -> String {
    let seen = |of: &Reader| of.seen.lock().unwrap().unwrap_or_default();
    line(by.iter().flat_map(|of| <[u64; 2]>::from(seen(of))))
}

/// Sends numbered messages from `first` on until the connection ends or it is to stop: the number after the last one that
/// has gone out.
async fn flood(mut to: Connection, first: u64, size: usize, stops: Arc<AtomicBool>) -> u64 {
    let (mut next, mut gone_out) = (first, first);
    let mut waiting = VecDeque::new();
    while !stops.load(SeqCst)
        && let Ok(ready) = to.ready().await
    {
        waiting.push_back(ready.call(numbered(next, size)));
        next += 1;
        while let Some(sent) = waiting.front_mut().and_then(FutureExt::now_or_never)
            && sent.is_ok()
        {
            waiting.pop_front();
            gone_out += 1;
        }
    }
    for sent in waiting {
        match sent.await {
            Err(error) if !error.may_have_been_sent() => break,
            _ => gone_out += 1,
        }
    }
    gone_out
}

/// When the queue of each of them is full.
async fn all_are_full(of: &[Connection], size: usize) {
    let is_full = |of: &Connection| of.handle().queued().1 >= waits(size);
    while !of.iter().all(is_full) {
        sleep(Duration::from_millis(1)).await;
    }
}

fn line(numbers: impl IntoIterator<Item = u64>) -> String {
    let numbers: Vec<_> = numbers.into_iter().map(|of| of.to_string()).collect();
    numbers.join(" ")
}

/// Takes over. `flood` with the number for each client begins to send; `full` waits for full queues; `stop` sends nothing
/// more, and is answered with which number comes next to each client; `seen` with the first
/// number of each that it has read, and the next one. At its end it says both, and the most memory that it held.
pub(crate) async fn server(path: &Path, size: usize) {
    let seen_of: Vec<_> = (0..CLIENTS).map(|_| Reader::default()).collect();
    seen_of.iter().for_each(|of| of.hurries.store(true, SeqCst));
    let reads = seen_of.clone();
    let handler = service_fn(move |incoming: Incoming| {
        let of = reads[at(incoming.peer().identity().peer_id.as_str())].clone();
        async move { of.read(&incoming.message, size).await }
    });
    // A debug build takes its time for a million small messages.
    let limit = Duration::from_secs(30);
    let builder = Server::builder(path).queue(queue(size)).relay(false);
    let builder = builder.offer_handoff(HandoffPolicy::default().handlers(limit).frozen(limit));
    let mut events = builder.events();
    let server = builder.take_over().listen(handler).await.unwrap();
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.recv()).await {
        if let Event::TookOver {
            connections, pause, ..
        } = event
        {
            say(line([connections as u64, pause.as_micros() as u64]));
        }
    }
    say("listens");
    let (stops, mut floods) = (Arc::new(AtomicBool::new(false)), Vec::new());
    let mut input = input();
    loop {
        let line = tokio::select! {
            biased;
            _ = server.closed() => break,
            line = input.next_line() => line.unwrap().unwrap(),
        };
        match line.split_once(' ') {
            Some(("flood", first)) => {
                while server.connection_count() < CLIENTS {
                    sleep(Duration::from_millis(1)).await;
                }
                let first: Vec<u64> = first.split(' ').map(|of| of.parse().unwrap()).collect();
                for (number, to) in first.into_iter().zip(connections(&server)) {
                    floods.push(tokio::spawn(flood(to, number, size, stops.clone())));
                }
            }
            _ if line == "full" => {
                all_are_full(&connections(&server), size).await;
                say("full");
            }
            _ if line == "seen" => say(seen(&seen_of)),
            _ => {
                stops.store(true, SeqCst);
                say(self::line(ended(&mut floods).await));
            }
        }
    }
    say(line(ended(&mut floods).await));
    say(seen(&seen_of));
    say(most_memory());
}

async fn ended(floods: &mut Vec<JoinHandle<u64>>) -> Vec<u64> {
    let mut gone_out = Vec::new();
    for flood in floods.drain(..) {
        gone_out.push(flood.await.unwrap());
    }
    gone_out
}

/// The most that this process has held so far, in bytes.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = kilobytes.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

fn name(at: usize) -> String {
    format!("f{at}")
}

fn at(name: &str) -> usize {
    name[1..].parse().unwrap()
}

/// In the order of their names.
fn connections(server: &Server) -> Vec<Connection> {
    let mut connections = server.connections();
    connections.sort_by_key(|of| at(of.peer_id().as_str()));
    connections
}

/// Clients that send at once. They are told to `stop`, after which they read as it comes, and asked for what they have
/// `seen`.
pub(crate) async fn clients(path: &Path, size: usize) {
    let slow: Vec<_> = (0..CLIENTS).map(|_| Reader::default()).collect();
    let stops = Arc::new(AtomicBool::new(false));
    let (mut clients, mut floods) = (Vec::new(), Vec::new());
    for (at, slow) in slow.iter().enumerate() {
        let slow = slow.clone();
        let handler = service_fn(move |incoming: Incoming| {
            let slow = slow.clone();
            async move { slow.read(&incoming.message, size).await }
        });
        let client = client(path, &name(at)).queue(queue(size)).connect(handler);
        let client = client.await.unwrap();
        let to = client.connection().unwrap();
        floods.push(tokio::spawn(flood(to, 0, size, stops.clone())));
        clients.push(client);
    }
    say("connected");
    let mut input = input();
    while let Some(asked) = input.next_line().await.unwrap() {
        match asked.as_str() {
            "seen" => say(seen(&slow)),
            _ => {
                stops.store(true, SeqCst);
                slow.iter().for_each(|of| of.hurries.store(true, SeqCst));
                say(line(ended(&mut floods).await));
            }
        }
    }
}

fn full(size: usize) {
    let handovers = std::env::var("KYNETA_HANDOVERS").ok();
    let handovers: usize = handovers.map_or(3, |number| number.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut server = start(&format!("full-server {size}"), &path);
    assert_eq!(server.line(), "listens");
    let mut clients = start(&format!("full-clients {size}"), &path);
    assert_eq!(clients.line(), "connected");
    server.tell(&format!("flood {}", line([0; CLIENTS])));
    let (mut pauses, mut most, mut seen) = (Vec::new(), 0, vec![0; CLIENTS]);
    let began = Instant::now();
    for _ in 0..handovers {
        server.tell("full");
        assert_eq!(server.line(), "full");
        let mut successor = start(&format!("full-server {size}"), &path);
        let took = successor.numbers();
        assert_eq!(took[0], CLIENTS as u64);
        pauses.push(Duration::from_micros(took[1]));
        assert_eq!(successor.line(), "listens");
        let gone_out = server.numbers();
        for (next, read) in seen.iter_mut().zip(server.numbers().chunks(2)) {
            // One that has read nothing says zeros.
            if read[1] > 0 {
                assert_eq!(read[0], *next, "lost, or twice");
                *next = read[1];
            }
        }
        most = most.max(server.numbers()[0]);
        server.ends();
        successor.tell(&format!("flood {}", line(gone_out)));
        server = successor;
    }
    clients.tell("stop");
    server.tell("stop");
    let (sent, gone_out) = (clients.numbers(), server.numbers());
    let end = Instant::now() + Duration::from_secs(60);
    for (to, of, first, next) in [
        (&mut server, "the clients", seen, sent),
        (&mut clients, "the servers", vec![0; CLIENTS], gone_out),
    ] {
        let both = first.into_iter().zip(next);
        let expected: Vec<_> = both.flat_map(<[u64; 2]>::from).collect();
        loop {
            to.tell("seen");
            let seen = to.numbers();
            if seen == expected {
                break;
            }
            assert!(Instant::now() < end, "of {of}: {seen:?} of {expected:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
    pauses.sort();
    let bound = BASE + (CLIENTS * waits(size) * COPIES) as u64;
    println!(
        "{CLIENTS} connections with full queues of {} MiB, {size} bytes a message, {handovers} handovers in \
         {:.1?}: frozen {:.1?} (median), {:.1?} (longest); a server held {} MiB at most, of {} MiB",
        waits(size) >> 20,
        began.elapsed(),
        pauses[handovers / 2],
        pauses[handovers - 1],
        most >> 20,
        bound >> 20,
    );
    assert!(most < bound);
    // A debug build takes as long to encode a few small messages as to copy 16 MiB.
    let longest = Duration::from_millis(75);
    assert!(size < 1024 || pauses[handovers / 2] < longest, "{pauses:?}");
}

#[test]
fn full_queues_of_64_bytes_go_on_through_handovers() {
    full(64);
}

#[test]
fn full_queues_of_64_kib_go_on_through_handovers() {
    full(64 << 10);
}
