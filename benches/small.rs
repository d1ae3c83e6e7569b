//! A stream of small messages beside a bare tokio socket: throughput, and processor time a message of each side.
//!
//! `cargo bench --manifest-path benches/counts/Cargo.toml --bench small [-- ROUNDS SIZE,SIZE...]`, sizes in bytes: by
//! value, in batches (`queue_all`), in batches that the receiver looks at (`look`), by reference at both ends
//! (`queue_ref`, `look`), and so in batches. The bare socket copies frames together, writes from 64 KiB on, and reads
//! 64 KiB at a time.

#![allow(clippy::unwrap_used)] // A bench panics when it fails.

#[path = "common/beside.rs"]
mod beside;
mod common;

use beside::{Bare, How, Load, heading, row};
use common::{offer, present};

const ROUNDS: usize = 9;
/// Of each run: half a second and more.
const MESSAGES: usize = 2_000_000;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let rounds = args.next().map_or(ROUNDS, |arg| arg.parse().unwrap());
    let sizes = args.next().unwrap_or_else(|| "64,1024".to_owned());
    heading("M/s", "ns");
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        let load = Load {
            size,
            warm_up: MESSAGES / 10,
            count: MESSAGES,
        };
        for (name, how) in [
            ("by value", How::ByValue),
            ("in batches", How::InBatches),
            ("in batches, looked at", How::InBatchesLookedAt),
            ("by reference", How::ByReference),
            ("by reference in batches", How::ByReferenceInBatches),
        ] {
            let name = format!("{size} {name}");
            row(&name, rounds, load, how, Bare::Blocks, MESSAGES as f64);
        }
    }
}
