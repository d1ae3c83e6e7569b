//! Bad neighbours of every kind at once, and good ones beside them.

use std::{thread::sleep, time::Duration};

use tokio::time::Instant;

use crate::{
    MIB,
    bad_peers::{Bad, crowd},
    good_peers::{Bystanders, Trip},
    service::QUEUED,
    size,
    support::durations::Figures,
    target::Target,
};

const GOOD: u32 = 100;

/// Each of the good ones has a round trip so often.
const EVERY: Duration = Duration::from_millis(20);

/// What 2,200 connections hold beside what waits, which is up to half of the reads that it came in: what
/// they are about to write, and to read.
const BESIDE: usize = 64 * MIB;

/// Who has not introduced itself by then is turned out: the default.
const ESTABLISH: Duration = Duration::from_secs(5);

#[test]
fn good_neighbours_are_served_beside_bad_ones() {
    let kinds = [
        (Bad::Garbage, size(200, 1_000)),
        (Bad::Silent, size(200, 1_000)),
        (Bad::NeverReads, size(20, 100)),
    ];
    // What the machine may add to a limit. Short runs are run wherever, beside whatever, unoptimised.
    let slack = Duration::from_secs(size(4, 2));
    let stall = Duration::from_secs(size(2, 10));
    let alone = Duration::from_secs(size(1, 10));
    let target = Target::echo(stall, size(64, 1024));
    let good = Bystanders::start(&target.path, GOOD, EVERY);
    let (open, before) = (target.descriptors(), target.resident());
    sleep(alone);

    let begin = Instant::now();
    // All of them are turned out once and more.
    let end = begin + Duration::from_secs(size(9, 30));
    let bad = crowd(&target.path, &kinds, end);
    let peak = target.peak(end - begin);
    let put_up_with = bad.join().unwrap();
    let gone = target.closes_all_but(open);
    let over = Instant::now();
    sleep(alone);
    let trips = good.finish();

    for ((kind, count), put_up_with) in kinds.iter().zip(&put_up_with) {
        let times: Figures = put_up_with.concat().into_iter().collect();
        println!("{count} {kind:?}, turned out after {times}");
        assert!(
            put_up_with.iter().all(|times| !times.is_empty()),
            "{kind:?}"
        );
        let limit = match kind {
            Bad::Garbage => Duration::ZERO,
            Bad::Silent => ESTABLISH,
            Bad::NeverReads => stall,
        };
        assert!(times.max() < limit + slack, "{kind:?} after {times}");
    }
    println!(
        "the last of them gone {gone:?} after their end; {:.1} MiB resident before, {:.1} MiB at most",
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
    println!("in the first second, in which all come: {first}");
    assert!(peak < before + 2 * QUEUED + BESIDE, "{peak} bytes");
    // Short runs are run wherever, beside whatever, unoptimised.
    assert!(
        p99_beside <= size(20, 2) * p99_alone,
        "the good ones starve"
    );
}

fn figures(trips: &[Trip], when: impl Fn(Instant) -> bool) -> Figures {
    let trips = trips.iter().filter(|(due, _)| when(*due));
    trips.map(|(_, took)| *took).collect()
}
