//! A peer that never reads the broadcasts.
//!
//! Held: one queue of memory, and the others' messages in order meanwhile. A failure says the bytes before, filled
//! and at the peak.

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
    raw_peer::RawPeer,
    service::{DATA, now},
    size,
    support::durations::Durations,
    target::Target,
};

/// How many messages may wait for a peer.
const QUEUE: usize = 1024;

/// Memory allowed for one peer besides its queue: the write buffer, the allocator's share, noise.
const OVERHEAD: usize = 6 * MIB;

/// Peers that read.
const READERS: usize = 4;

#[test]
fn a_peer_that_never_reads_costs_its_queue_and_disturbs_no_other() {
    let span = Duration::from_secs(size(5, 60));
    let target = Target::broadcast(Duration::from_secs(30), QUEUE);
    let stop = Arc::<AtomicBool>::default();
    let readers: Vec<_> = (0..READERS)
        .map(|number| reader(&target.path, number, &stop))
        .collect();
    sleep(Duration::from_secs(size(1, 10)));
    let before = target.resident();

    let begin = now();
    let never_reads = never_reads(&target.path, &stop);
    // Enough time to fill the queue; after that nothing may grow.
    let filled = target.peak(Duration::from_secs(2));
    let peak = target.peak(span - Duration::from_secs(2));
    stop.store(true, Ordering::SeqCst);
    let times = never_reads.join().unwrap();

    let mib = |bytes: usize| bytes as f64 / MIB as f64;
    println!(
        "resident before {:.2} MiB; with a peer that does not read at most {:.2} MiB in two seconds, {:.2} MiB \
         in {span:?}; it was disconnected {times} times",
        mib(before),
        mib(filled),
        mib(peak)
    );
    for reader in readers {
        let delays = reader.join().unwrap();
        let figures = |when: &dyn Fn(Duration) -> bool| -> Durations {
            let delays = delays.iter().filter(|(sent, _)| when(*sent));
            delays.map(|(_, delay)| *delay).collect()
        };
        println!(
            "a reader received all, in order; delay alone {}, beside it {}",
            figures(&|sent| sent < begin),
            figures(&|sent| sent >= begin)
        );
        assert!(
            delays.len() as u64 > 100 * span.as_secs(),
            "{}",
            delays.len()
        );
    }
    assert!(peak < before + QUEUE * DATA + OVERHEAD, "{before} {peak}");
    assert!(peak < filled + MIB, "{filled} {peak}");
}

/// Connects and reads nothing; connects again when it is disconnected. Returns how often it was.
fn never_reads(path: &Path, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (path, stop) = (path.to_owned(), stop.clone());
    thread::spawn(move || {
        let mut times = 0;
        let mut peer = RawPeer::established(&path, "never-reads");
        while !stop.load(Ordering::SeqCst) {
            // Sees the end of the connection without reading.
            let mut end = [PollFd::new(&peer.stream, PollFlags::RDHUP)];
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 10_000_000,
            };
            if poll(&mut end, Some(&moment)).unwrap() > 0 {
                times += 1;
                peer = RawPeer::established(&path, "never-reads");
            }
        }
        times
    })
}

/// When each message was sent, and its delay.
type Delays = Vec<(Duration, Duration)>;

/// Reads all messages, which must be in order and without a gap.
fn reader(path: &Path, number: usize, stop: &Arc<AtomicBool>) -> JoinHandle<Delays> {
    let mut peer = RawPeer::established(path, &format!("reader-{number}"));
    let stop = stop.clone();
    thread::spawn(move || {
        let mut delays = Delays::new();
        let mut last = None;
        while !stop.load(Ordering::SeqCst) {
            let (number, sent) = parse(peer.receive());
            delays.push((sent, now().saturating_sub(sent)));
            if let Some(last) = last.replace(number) {
                assert_eq!(number, last + 1);
            }
        }
        delays
    })
}

/// The number of a message, and when it was sent.
fn parse(payload: Vec<u8>) -> (u64, Duration) {
    let payload = Bytes::from(payload);
    let payload = Payload::new(&payload, 0..payload.len());
    let Ok(ChannelMsg::Offer(offer)) = ChannelCodec::new().decode(payload) else {
        panic!("not an offer");
    };
    let (number, micros) = offer.version.as_str().split_once(' ').unwrap();
    let sent = Duration::from_micros(micros.parse().unwrap());
    (number.parse().unwrap(), sent)
}
