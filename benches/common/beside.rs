//! The same stream by a client and a server of this library, and by two bare tokio sockets: what each side takes, and the
//! ratio. Each side has a thread with a runtime of its own.

#![allow(dead_code)] // Each bench uses a part.
#![allow(clippy::unwrap_used)] // A bench panics when it fails.

use std::{
    convert::Infallible,
    future::{Future, ready},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kyneta_uds::{
    ChannelMsg, Client, Handler, Incoming, MessageBatch, MessageRef, Server, look,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::Builder,
    sync::Notify,
};
use tower::service_fn;

use super::{offer, present};

/// Of a write and a read of the bare socket, bytes.
const BLOCK: usize = 64 << 10;
const HEADER: usize = 10;
/// Messages of a batch.
const BATCH: usize = 500;

/// How this library's ends are used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    ByValue,
    InBatches,
    /// Sent in batches of owned messages, looked at by the receiver.
    InBatchesLookedAt,
    /// At both ends.
    ByReference,
    /// At both ends, and in batches.
    ByReferenceInBatches,
}

/// How the bare receiver reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bare {
    /// Blocks of 64 KiB, over and over into the same memory.
    Blocks,
    /// Whole messages, one after the other into the same memory.
    Whole,
}

/// Messages of so many bytes; how many, and before them, so that buffers have grown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) size: usize,
    pub(crate) warm_up: usize,
    pub(crate) count: usize,
}

impl Load {
    /// About so many bytes.
    pub(crate) fn of(size: usize, warm_up: usize, bytes: usize) -> Self {
        let (warm_up, count) = ((warm_up / size).max(1), (bytes / size).max(1));
        Self {
            size,
            warm_up,
            count,
        }
    }
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) sender: Duration,
    pub(crate) receiver: Duration,
}

/// What one side took.
struct Side {
    begun: Instant,
    ended: Instant,
    processor: Duration,
}

/// The first two figures of each row are `bare` and `ours`.
pub(crate) fn heading(rate: &str, time: &str) {
    let column = |what: &str| format!("{what:>16} {:>6} {:>11}", "ratio", "range");
    println!(
        "{:>24} | {} | {} | {}",
        "",
        column(rate),
        column(&format!("sender, {time}")),
        column(&format!("receiver, {time}")),
    );
}

/// Runs both in turn, and prints the medians, and the medians and ranges of the ratios of neighbours, above 1 where this
/// library is the better one. `units` are in all of the load's messages.
pub(crate) fn row(name: &str, rounds: usize, load: Load, how: How, bare: Bare, units: f64) {
    let runs: Vec<_> = (0..rounds)
        .map(|_| (run_bare(load, bare), run_ours(load, how)))
        .collect();
    let column = |of: fn(&Took) -> Duration, show: &dyn Fn(f64) -> f64| {
        let [mut bare, mut ours, mut ratios] = [vec![], vec![], vec![]];
        for (b, o) in &runs {
            let (b, o) = (of(b).as_secs_f64(), of(o).as_secs_f64());
            bare.push(show(b));
            ours.push(show(o));
            ratios.push(b / o);
        }
        let [bare, ours] = [bare, ours].map(|mut figures| middle(&mut figures));
        let ratio = middle(&mut ratios);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        format!("{bare:8.2}{ours:8.2} {ratio:6.2} {least:5.2}-{most:5.2}")
    };
    let each = |seconds: f64| seconds / units * 1e9;
    println!(
        "{name:>24} | {} | {} | {}",
        column(|took| took.wall, &|seconds| units / seconds / 1e6),
        column(|took| took.sender, &each),
        column(|took| took.receiver, &each),
    );
}

/// Sorts them; the one in the middle.
fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs both sides, each in a thread of its own. What they are to measure begins when both have warmed up.
fn run<S, R>(send: S, receive: R) -> Took
where
    S: Future<Output = Side> + Send + 'static,
    R: Future<Output = Side> + Send + 'static,
{
    let side = |task: std::pin::Pin<Box<dyn Future<Output = Side> + Send>>| {
        thread::spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(task)
        })
    };
    let (sender, receiver) = (side(Box::pin(send)), side(Box::pin(receive)));
    let (sender, receiver) = (sender.join().unwrap(), receiver.join().unwrap());
    Took {
        wall: receiver.ended - sender.begun,
        sender: sender.processor,
        receiver: receiver.processor,
    }
}

async fn timed(work: impl Future<Output = ()>) -> Side {
    let processor = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (begun, before) = (Instant::now(), processor());
    work.await;
    Side {
        begun,
        ended: Instant::now(),
        processor: processor() - before,
    }
}

fn run_ours(load: Load, how: How) -> Took {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let (both, listens) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let msg = offer(load.size);
    let send = {
        let (path, both, listens) = (path.clone(), both.clone(), listens.clone());
        async move {
            listens.wait();
            let ignore = service_fn(|_: Incoming| ready(Ok::<(), Infallible>(())));
            let mut client = Client::builder(&path).connect(ignore).await.unwrap();
            client.queue(present(1)).await.unwrap();
            send_all(&mut client, &msg, how, load.warm_up).await;
            both.wait();
            let side = timed(send_all(&mut client, &msg, how, load.count)).await;
            both.wait(); // Not earlier: the end of a connection is not measured.
            side
        }
    };
    let receive = async move {
        let arrived = Arc::<Arrived>::default();
        let server = Server::builder(&path).relay(false);
        let server = match how {
            How::ByValue | How::InBatches => server.listen(arrived.by_value()).await,
            How::InBatchesLookedAt | How::ByReference | How::ByReferenceInBatches => {
                server.listen(arrived.by_reference()).await
            }
        };
        let server = server.unwrap();
        listens.wait();
        arrived.until(load.warm_up).await;
        both.wait();
        let side = timed(arrived.until(load.warm_up + load.count)).await;
        both.wait();
        drop(server);
        side
    };
    run(send, receive)
}

async fn send_all(client: &mut Client, msg: &ChannelMsg, how: How, count: usize) {
    let mut batch = MessageBatch::new();
    for n in 0..count {
        match how {
            How::ByValue => client.queue(msg.clone()).await.unwrap(),
            How::ByReference => client.queue_ref(msg).await.unwrap(),
            How::InBatches | How::InBatchesLookedAt => batch.push(msg.clone()),
            How::ByReferenceInBatches => batch.push_ref(msg),
        }
        if batch.len() == BATCH || n + 1 == count {
            client.queue_all(&mut batch).await.unwrap();
        }
    }
    client.flushed().await.unwrap();
}

/// Offers that have arrived.
#[derive(Default)]
struct Arrived {
    count: AtomicUsize,
    due: AtomicUsize,
    all: Notify,
}

impl Arrived {
    fn one_more(&self) {
        // Only the handler counts, in one thread: a locked instruction would be a part of what is measured.
        let count = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(count, Ordering::Relaxed);
        if count == self.due.load(Ordering::Relaxed) {
            self.all.notify_one();
        }
    }

    fn by_value(self: &Arc<Self>) -> impl Handler + Clone {
        let arrived = self.clone();
        service_fn(move |incoming: Incoming| {
            if let ChannelMsg::Offer(_) = incoming.message {
                arrived.one_more();
            }
            ready(Ok::<(), Infallible>(()))
        })
    }

    fn by_reference(self: &Arc<Self>) -> impl Handler + Clone {
        let arrived = self.clone();
        look(move |incoming| {
            if let MessageRef::Offer(_) = incoming.message {
                arrived.one_more();
            }
        })
    }

    /// Waits for as many. Called in the thread of the handler.
    async fn until(&self, due: usize) {
        self.due.store(due, Ordering::Relaxed);
        if self.count.load(Ordering::Relaxed) < due {
            self.all.notified().await;
        }
    }
}

fn run_bare(load: Load, bare: Bare) -> Took {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = |std: std::os::unix::net::UnixStream| {
        std.set_nonblocking(true).unwrap();
        UnixStream::from_std(std).unwrap()
    };
    let both = Arc::new(Barrier::new(2));
    let send = {
        let both = both.clone();
        async move {
            let mut stream = stream(here);
            let (payload, mut out) = (vec![7; load.size], Vec::new());
            let mut send = async |count: usize| {
                for left in (0..count).rev() {
                    out.extend_from_slice(&[3, 0]);
                    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                    out.extend_from_slice(&[0; 4]);
                    out.extend_from_slice(&payload);
                    if left == 0 || out.len() >= BLOCK {
                        stream.write_all(&out).await.unwrap();
                        out.clear();
                    }
                }
            };
            send(load.warm_up).await;
            both.wait();
            let side = timed(send(load.count)).await;
            both.wait();
            side
        }
    };
    let receive = async move {
        let mut stream = stream(there);
        let mut memory = match bare {
            Bare::Blocks => vec![0; BLOCK],
            Bare::Whole => vec![0; HEADER + load.size],
        };
        let mut receive = async |count| match bare {
            Bare::Blocks => read_blocks(&mut stream, &mut memory, count).await,
            Bare::Whole => {
                for _ in 0..count {
                    stream.read_exact(&mut memory).await.unwrap();
                }
            }
        };
        receive(load.warm_up).await;
        both.wait();
        let side = timed(receive(load.count)).await;
        both.wait();
        side
    };
    run(send, receive)
}

/// Parses headers and skips payloads.
async fn read_blocks(stream: &mut UnixStream, block: &mut [u8], count: usize) {
    let (mut left, mut header) = (count, Vec::with_capacity(HEADER));
    let mut payload = 0;
    while left > 0 {
        let n = stream.read(block).await.unwrap();
        let mut bytes = &block[..n];
        while !bytes.is_empty() {
            let (part, rest) = match payload {
                0 => bytes.split_at(bytes.len().min(HEADER - header.len())),
                _ => bytes.split_at(bytes.len().min(payload)),
            };
            bytes = rest;
            if payload > 0 {
                payload -= part.len();
                left -= usize::from(payload == 0);
                continue;
            }
            header.extend_from_slice(part);
            if let [_, _, a, b, c, d, _, _, _, _] = header[..] {
                payload = u32::from_be_bytes([a, b, c, d]) as usize;
                header.clear();
            }
        }
    }
}
