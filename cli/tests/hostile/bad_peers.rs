//! Bad neighbours, many at once, and how long each is put up with. Who is turned out comes again.

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

/// Before one comes again. The first time they come one after the other, all within as long.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Bad {
    /// Says what is no frame, or one that is too large.
    Garbage,
    /// Says nothing.
    Silent,
    /// Introduces itself, writes as much as is taken, reads nothing.
    NeverReads,
}

/// How long each of them was put up with, each time.
pub(crate) type PutUpWith = Vec<Vec<Duration>>;

/// So many of a kind, until `end`.
pub(crate) fn crowd(
    path: &Path,
    kinds: &[(Bad, usize)],
    end: Instant,
) -> JoinHandle<Vec<PutUpWith>> {
    let (path, kinds) = (path.to_owned(), kinds.to_vec());
    thread::spawn(move || {
        // What the bad ones burn themselves is not the service's: on few cores they would take it from
        // the good ones. On Linux this is of one thread.
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
                    set.spawn(one(path.clone(), kind, number, first, end));
                }
            }
            let mut put_up_with = Vec::new();
            for set in all {
                put_up_with.push(set.join_all().await);
            }
            put_up_with
        })
    })
}

async fn one(
    path: PathBuf,
    kind: Bad,
    number: usize,
    first: Instant,
    end: Instant,
) -> Vec<Duration> {
    let mut times = Vec::new();
    let again_and_again = async {
        sleep_until(first).await;
        loop {
            let stream = connect(&path).await;
            times.push(match kind {
                Bad::Garbage => garbage(stream, number).await,
                Bad::Silent => until_ended(stream).await,
                Bad::NeverReads => never_reads(stream, number).await,
            });
            sleep(PAUSE).await;
        }
    };
    // The last one is broken off.
    let _ = timeout_at(end, again_and_again).await;
    times
}

/// Waits for a place among those who wait to be accepted.
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
    // It may be turned out at the first word.
    let _ = stream.write_all(&garbage).await;
    until_ended(stream).await
}

async fn until_ended(mut stream: UnixStream) -> Duration {
    let start = Instant::now();
    let mut block = [0; 64];
    while matches!(stream.read(&mut block).await, Ok(1..)) {}
    start.elapsed()
}

/// How long nothing was taken from it before it was ended.
async fn never_reads(mut stream: UnixStream, number: usize) -> Duration {
    let introduction = raw::frame(WIRE, 1, &establish(&format!("deaf-{number}")));
    let mut taken = Instant::now();
    if stream.write_all(&introduction).await.is_ok() {
        let payload = raw::payload(&offer("d", 4 << 10));
        let frames = (0..16).flat_map(|seq| raw::frame(WIRE, seq, &payload));
        let frames: Vec<u8> = frames.collect();
        let mut at = 0;
        while let Ok(written) = stream.write(&frames[at..]).await {
            taken = Instant::now();
            at = (at + written) % frames.len();
        }
    }
    taken.elapsed()
}
