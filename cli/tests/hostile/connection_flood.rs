//! Connects and closes, as fast as one can.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds::ChannelMsg;

use crate::{
    MIB,
    raw_peer::{Neighbour, establish, header},
    size,
    support::common::{offer, raw},
    target::Target,
};

/// The same before, lest what is made once and kept counts as kept from the flood.
const FIRST: usize = 1_000;

/// How much more it may hold afterwards, bytes: what the allocator does not give back.
const MAY_KEEP: usize = 2 * MIB;

#[test]
fn a_flood_of_connections_leaves_nothing_behind() {
    let count = size(2_000, 20_000);
    let target = Target::listen(&["--echo"]);
    let mut good = Neighbour::introduced(&target.path, "good");
    let open = target.descriptors();
    flood(&target.path, &mut good, FIRST);
    target.closes_all_but(open);
    let before = target.resident();

    let took = flood(&target.path, &mut good, count);
    let closed = target.closes_all_but(open);
    good.round_trip(&offer("d", 64));
    let after = target.resident();
    let mib = |bytes| bytes as f64 / MIB as f64;
    println!(
        "{count} connects and closes in {took:?}, all closed {closed:?} later; resident {:.2} MiB \
         before, {:.2} MiB after; {open} descriptors before and after",
        mib(before),
        mib(after),
    );
    assert!(after < before + MAY_KEEP, "{before} {after}");
}

/// So many, one after the other; a good one is served meanwhile.
fn flood(path: &Path, good: &mut Neighbour, count: usize) -> Duration {
    let start = Instant::now();
    for number in 0..count {
        let mut flooding = Neighbour::connect(path);
        match number % 4 {
            // In the middle of a word.
            0 => flooding.stream.write_all(&header(1, 100)).unwrap(),
            // Having been somebody.
            1 => {
                flooding.send(&establish("flooding"));
                flooding.send(&raw::payload(&ChannelMsg::Depart));
            }
            _ => {}
        }
        if number % 100 == 0 {
            good.round_trip(&offer("d", 64));
        }
    }
    start.elapsed()
}
