//! Bad peers, many at once, and how long each stays connected. A disconnected one connects again.
//!
//! In: a kind of bad peer, how many, until when. Out: how often each was disconnected, and after what time. May
//! touch: sockets, threads.

use std::{
    io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    raw_peer::{WIRE, establish, header},
    support::common::{offer, raw},
};

/// The pause before one connects again. At the start their connects are spread over this time.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Bad {
    /// Sends bytes that are no frame, or the header of a frame that is too large.
    Garbage,
    /// Sends nothing.
    Silent,
    /// Completes the handshake, writes as much as is accepted, reads nothing.
    NeverReads,
}

/// How long each connection of each peer lasted.
pub(crate) type ConnectionTimes = Vec<Vec<Duration>>;

/// Runs `kinds` until `end`.
pub(crate) fn run(
    path: &Path,
    kinds: &[(Bad, usize)],
    end: Instant,
) -> JoinHandle<Vec<ConnectionTimes>> {
    let (path, kinds) = (path.to_owned(), kinds.to_vec());
    thread::spawn(move || {
        // The processor time of the bad peers is not that of the service: on few cores they would slow the good
        // peers down. On Linux this applies to one thread.
        let _ = rustix::process::nice(19);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let start = Instant::now();
            let mut all: Vec<_> = kinds.iter().map(|_| JoinSet::new()).collect();
            for (set, (kind, count)) in all.iter_mut().zip(kinds) {
                for number in 0..count {
                    let first = start + PAUSE * number as u32 / count as u32;
                    set.spawn(bad_peer(path.clone(), kind, number, first, end));
                }
            }
            let mut lasted = Vec::new();
            for set in all {
                lasted.push(set.join_all().await);
            }
            lasted
        })
    })
}

async fn bad_peer(
    path: PathBuf,
    kind: Bad,
    number: usize,
    first: Instant,
    end: Instant,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let connections = async {
        sleep_until(first).await;
        loop {
            let stream = connect(&path).await;
            times.push(match kind {
                Bad::Garbage => garbage(stream, number).await,
                Bad::Silent => until_closed(stream).await,
                Bad::NeverReads => never_reads(stream, number).await,
            });
            sleep(PAUSE).await;
        }
    };
    // The last connection is cut off.
    let _ = timeout_at(end, connections).await;
    times
}

/// Connects, and retries while the listen backlog is full.
async fn connect(path: &Path) -> UnixStream {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn garbage(mut stream: UnixStream, number: usize) -> Duration {
    let garbage = match number % 3 {
        0 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        1 => vec![0xff; 100],
        _ => header(1, u32::MAX),
    };
    // It may be disconnected at the first byte.
    let _ = stream.write_all(&garbage).await;
    until_closed(stream).await
}

async fn until_closed(mut stream: UnixStream) -> Duration {
    let start = Instant::now();
    let mut block = [0; 64];
    while matches!(stream.read(&mut block).await, Ok(1..)) {}
    start.elapsed()
}

/// How long the service read nothing from it before it closed the connection.
async fn never_reads(mut stream: UnixStream, number: usize) -> Duration {
    let establish = raw::frame(WIRE, 1, &establish(&format!("never-reads-{number}")));
    let mut accepted = Instant::now();
    if stream.write_all(&establish).await.is_ok() {
        let payload = raw::payload(&offer("d", 4 << 10));
        let frames = (0..16).flat_map(|seq| raw::frame(WIRE, seq, &payload));
        let frames: Vec<u8> = frames.collect();
        let mut at = 0;
        while let Ok(written) = stream.write(&frames[at..]).await {
            accepted = Instant::now();
            at = (at + written) % frames.len();
        }
    }
    accepted.elapsed()
}
