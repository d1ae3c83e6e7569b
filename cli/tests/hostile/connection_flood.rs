//! Connects and closes, as fast as possible.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use kyneta_uds::ChannelMsg;

use crate::{
    MIB,
    raw_peer::{RawPeer, establish, header},
    size,
    support::common::{offer, raw},
    target::Target,
};

/// A flood before the measurement, so that memory allocated once does not count.
const WARM_UP: usize = 1_000;

/// Growth allowed, bytes: memory that the allocator does not return.
const MAY_KEEP: usize = 2 * MIB;

#[test]
fn a_flood_of_connections_leaves_nothing_behind() {
    let count = size(2_000, 20_000);
    let target = Target::listen(&["--echo"]);
    let mut good = RawPeer::established(&target.path, "good");
    let open = target.descriptors();
    flood(&target.path, &mut good, WARM_UP);
    target.wait_for_descriptors(open);
    let before = target.resident();

    let took = flood(&target.path, &mut good, count);
    let closed = target.wait_for_descriptors(open);
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

/// `count` connections, one after the other, while a good peer is served.
fn flood(path: &Path, good: &mut RawPeer, count: usize) -> Duration {
    let start = Instant::now();
    for number in 0..count {
        let mut flooding = RawPeer::connect(path);
        match number % 4 {
            // Part of a frame.
            0 => flooding.stream.write_all(&header(1, 100)).unwrap(),
            // A complete handshake.
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
