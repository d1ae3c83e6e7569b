//! Headers that claim a payload that is never sent.

use std::time::Duration;

use crate::{
    MIB,
    raw_peer::{RawPeer, header},
    support::common::offer,
    target::Target,
};

/// Connections at the same time.
const CONNECTIONS: usize = 1_000;

/// Growth of the process allowed, bytes.
const MAY_GROW: usize = 16 * MIB;

const ALLOWED: u32 = 64 << 20;

#[test]
fn the_length_in_a_header_allocates_no_memory() {
    for established in [false, true] {
        for claims in [u32::MAX, ALLOWED + 1, ALLOWED] {
            let ended = claims > ALLOWED;
            let grown = grown_by(established, claims, ended);
            println!(
                "headers of {CONNECTIONS} {} connections claim {claims} bytes, {}: the process has grown by {:.1} MiB",
                if established { "established" } else { "new" },
                if ended { "all closed" } else { "all open" },
                grown as f64 / MIB as f64
            );
            assert!(grown < MAY_GROW, "{grown}");
        }
    }
}

/// The largest growth of the process, bytes.
fn grown_by(established: bool, claims: u32, ended: bool) -> usize {
    let target = Target::listen(&["--echo"]);
    let mut good = RawPeer::established(&target.path, "good");
    good.round_trip(&offer("d", 64));
    let before = target.resident();

    let mut liars: Vec<RawPeer> = (0..CONNECTIONS)
        .map(|number| {
            if established {
                RawPeer::established(&target.path, &format!("liar-{number}"))
            } else {
                RawPeer::connect(&target.path)
            }
        })
        .collect();
    let header = header(if established { 2 } else { 1 }, claims);
    for liar in &mut liars {
        std::io::Write::write_all(&mut liar.stream, &header).unwrap();
    }
    if ended {
        liars.iter_mut().for_each(RawPeer::expect_end);
    }
    // Time for an allocation to show.
    let grown = target.peak(Duration::from_millis(300)) - before;
    good.round_trip(&offer("d", 64));
    grown
}
