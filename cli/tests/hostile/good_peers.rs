//! Good peers: bare sockets that do round trips at a pace and measure them, on a thread of their own.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    raw_peer::{HEADER, WIRE, establish, length},
    support::common::{offer, raw},
};

/// When a round trip was due, and how long it took from then on.
pub(crate) type Trip = (Instant, Duration);

pub(crate) struct GoodPeers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Trip>>,
}

impl GoodPeers {
    /// `count` peers, each with one round trip in each interval `every`. All are established when this returns.
    pub(crate) fn start(path: &Path, count: u32, every: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (path, until) = (path.to_owned(), stop.clone());
        let (ready, all_ready) = sync_channel(0);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut streams = Vec::new();
                for number in 0..count {
                    streams.push(established(&path, number).await);
                }
                ready.send(()).unwrap();
                let start = Instant::now();
                let mut all = JoinSet::new();
                for (number, stream) in (0..).zip(streams) {
                    // Spread over the interval.
                    let first = start + every * number / count;
                    all.spawn(round_trips(stream, first, every, until.clone()));
                }
                all.join_all().await.concat()
            })
        });
        all_ready.recv().unwrap();
        Self { stop, thread }
    }

    /// All round trips; each was answered.
    pub(crate) fn finish(self) -> Vec<Trip> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

async fn established(path: &PathBuf, number: u32) -> UnixStream {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let establish = raw::frame(WIRE, 1, &establish(&format!("good-{number}")));
    stream.write_all(&establish).await.unwrap();
    receive(&mut stream).await;
    stream
}

/// A round trip that begins late because the one before it has not ended counts from when it was due. One
/// that begins late because this thread was late does not.
async fn round_trips(
    mut stream: UnixStream,
    mut due: Instant,
    every: Duration,
    until: Arc<AtomicBool>,
) -> Vec<Trip> {
    let payload = raw::payload(&offer("d", 64));
    let mut trips = Vec::new();
    for seq in 2.. {
        let late = due <= Instant::now();
        sleep_until(due).await;
        if until.load(Ordering::SeqCst) {
            break;
        }
        let began = if late { due } else { Instant::now() };
        stream
            .write_all(&raw::frame(WIRE, seq, &payload))
            .await
            .unwrap();
        receive(&mut stream).await;
        trips.push((due, began.elapsed()));
        due += every;
    }
    trips
}

pub(crate) async fn receive(stream: &mut UnixStream) -> Vec<u8> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; length(&header)];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}
