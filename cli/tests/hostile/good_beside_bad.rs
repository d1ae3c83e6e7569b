//! Bad peers of every kind at once, and good peers beside them.
//!
//! Held: good peers get their answers, bad ones are disconnected in time, and memory stays bounded. A failure says
//! which kind of bad peer stays, how long answers took, or how many bytes are held.

use std::{thread::sleep, time::Duration};

use tokio::time::Instant;

use crate::{
    MIB,
    bad_peers::{self, Bad},
    good_peers::GoodPeer,
    paced::{Paced, Trip},
    service::QUEUED,
    size,
    support::durations::Durations,
    target::Target,
};

const GOOD: u32 = 100;

/// The time between two round trips of a good peer.
const EVERY: Duration = Duration::from_millis(20);

/// The memory of 2,200 connections besides the queued messages: their read and write buffers, and the read
/// buffers that queued messages share.
const BESIDE: usize = 64 * MIB;

/// The default handshake timeout.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn good_peers_are_served_beside_bad_ones() {
    let kinds = [
        (Bad::Garbage, size(200, 1_000)),
        (Bad::Silent, size(200, 1_000)),
        (Bad::NeverReads, size(20, 100)),
    ];
    // Allowed on top of a limit. Short runs are unoptimised, on a busy machine.
    let slack = Duration::from_secs(size(4, 2));
    let stall = Duration::from_secs(size(2, 10));
    let alone = Duration::from_secs(size(1, 10));
    let target = Target::echo(stall, size(64, 1024));
    let path = target.path.clone();
    let good = Paced::start(GOOD, EVERY, async move |number| {
        GoodPeer::connect(&path, number).await
    });
    let (open, before) = (target.descriptors(), target.resident());
    sleep(alone);

    let begin = Instant::now();
    // Each is disconnected at least once.
    let end = begin + Duration::from_secs(size(9, 30));
    let bad = bad_peers::run(&target.path, &kinds, end);
    let peak = target.peak(end - begin);
    let lasted = bad.join().unwrap();
    let closed = target.wait_for_descriptors(open);
    let over = Instant::now();
    sleep(alone);
    let trips = good.finish();

    for ((kind, count), lasted) in kinds.iter().zip(&lasted) {
        let times: Durations = lasted.concat().into_iter().collect();
        println!("{count} {kind:?}, disconnected after {times}");
        assert!(lasted.iter().all(|times| !times.is_empty()), "{kind:?}");
        let limit = match kind {
            Bad::Garbage => Duration::ZERO,
            Bad::Silent => HANDSHAKE_TIMEOUT,
            Bad::NeverReads => stall,
        };
        assert!(times.max() < limit + slack, "{kind:?} after {times}");
    }
    println!(
        "the last connection closed {closed:?} after their end; {:.1} MiB resident before, {:.1} MiB at most",
        before as f64 / MIB as f64,
        peak as f64 / MIB as f64
    );
    let alone = figures(&trips, |due| due < begin || due > over);
    let beside = figures(&trips, |due| due >= begin && due < end);
    let [p99_alone, p99_beside] = [&alone, &beside].map(|figures| figures.percentile(99));
    println!("round trips of the {GOOD} good ones alone: {alone}");
    println!(
        "beside the bad ones: {beside}, {}",
        beside.against(99, 2 * p99_alone)
    );
    let first = figures(&trips, |due| {
        due >= begin && due < begin + Duration::from_secs(1)
    });
    println!("in the first second, in which all connect: {first}");
    assert!(peak < before + 2 * QUEUED + BESIDE, "{peak} bytes");
    assert!(
        p99_beside <= size(20, 2) * p99_alone,
        "the good peers starve"
    );
}

fn figures(trips: &[Trip], when: impl Fn(Instant) -> bool) -> Durations {
    let trips = trips.iter().filter(|trip| when(trip.due));
    trips.map(|trip| trip.took).collect()
}
