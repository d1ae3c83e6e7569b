//! One who never reads what everybody is told.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

use kyneta_uds::{Bytes, ChannelCodec, ChannelMsg, Codec as _, Payload};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    MIB,
    raw_peer::Neighbour,
    service::{DATA, now},
    size,
    support::durations::Figures,
    target::Target,
};

/// How many messages may wait for a peer.
const QUEUE: usize = 1024;

/// What else may be held for one: the write buffer, what the allocator adds, noise.
const MORE: usize = 6 * MIB;

/// The others.
const READERS: usize = 4;

#[test]
fn one_who_never_reads_costs_its_queue_and_disturbs_nobody() {
    let span = Duration::from_secs(size(5, 60));
    let target = Target::broadcast(Duration::from_secs(30), QUEUE);
    let stop = Arc::<AtomicBool>::default();
    let readers: Vec<_> = (0..READERS)
        .map(|number| reader(&target.path, number, &stop))
        .collect();
    sleep(Duration::from_secs(size(1, 10)));
    let before = target.resident();

    let begin = now();
    let deaf = never_reads(&target.path, &stop);
    // Time enough to fill the queue, and then nothing more may come.
    let filled = target.peak(Duration::from_secs(2));
    let peak = target.peak(span - Duration::from_secs(2));
    stop.store(true, Ordering::SeqCst);
    let times = deaf.join().unwrap();

    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    println!(
        "resident before {:.2} MiB; beside one who does not read at most {:.2} MiB in two seconds, {:.2} MiB \
         in {span:?}; it was turned out {times} times",
        mib(before),
        mib(filled),
        mib(peak)
    );
    for reader in readers {
        let delays = reader.join().unwrap();
        let figures = |when: &dyn Fn(Duration) -> bool| -> Figures {
            let delays = delays.iter().filter(|(told, _)| when(*told));
            delays.map(|(_, delay)| *delay).collect()
        };
        println!(
            "a reader got all, in order; alone after {}, beside it after {}",
            figures(&|told| told < begin),
            figures(&|told| told >= begin)
        );
        assert!(
            delays.len() as u64 > 100 * span.as_secs(),
            "{}",
            delays.len()
        );
    }
    assert!(peak < before + QUEUE * DATA + MORE, "{before} {peak}");
    assert!(peak < filled + MIB, "{filled} {peak}");
}

/// Is told, and says nothing; again when it is turned out. How often it was.
fn never_reads(path: &Path, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (path, stop) = (path.to_owned(), stop.clone());
    thread::spawn(move || {
        let mut times = 0;
        let mut deaf = Neighbour::introduced(&path, "deaf");
        while !stop.load(Ordering::SeqCst) {
            // Its end is seen without reading.
            let mut end = [PollFd::new(&deaf.stream, PollFlags::RDHUP)];
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 10_000_000,
            };
            if poll(&mut end, Some(&moment)).unwrap() > 0 {
                times += 1;
                deaf = Neighbour::introduced(&path, "deaf");
            }
        }
        times
    })
}

/// When each message was told, and how long it took to come.
type Delays = Vec<(Duration, Duration)>;

/// Reads all, which must come in order and without a gap.
fn reader(path: &Path, number: usize, stop: &Arc<AtomicBool>) -> JoinHandle<Delays> {
    let mut neighbour = Neighbour::introduced(path, &format!("reader-{number}"));
    let stop = stop.clone();
    thread::spawn(move || {
        let mut delays = Delays::new();
        let mut last = None;
        while !stop.load(Ordering::SeqCst) {
            let (number, told) = told(neighbour.receive());
            delays.push((told, now().saturating_sub(told)));
            if let Some(last) = last.replace(number) {
                assert_eq!(number, last + 1);
            }
        }
        delays
    })
}

/// A message's number, and when it was told.
fn told(payload: Vec<u8>) -> (u64, Duration) {
    let payload = Bytes::from(payload);
    let payload = Payload::new(&payload, 0..payload.len());
    let Ok(ChannelMsg::Offer(offer)) = ChannelCodec::new().decode(payload) else {
        panic!("no offer");
    };
    let (number, micros) = offer.version.as_str().split_once(' ').unwrap();
    let told = Duration::from_micros(micros.parse().unwrap());
    (number.parse().unwrap(), told)
}
