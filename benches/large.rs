//! What large messages cost: throughput, and processor time a byte of each side, beside a bare tokio socket.
//!
//! `cargo bench --manifest-path benches/counts/Cargo.toml --bench large [-- ROUNDS KIB,KIB... [whole]]`: a client sends
//! offers of each size to a server, and a bare `UnixStream` the same bytes: frames copied together and written from 64
//! KiB on, reads of 64 KiB that parse headers and skip payloads. With `whole` it reads whole messages instead, all into
//! the same memory.

#![allow(clippy::unwrap_used)] // A bench panics when it fails.

#[path = "common/beside.rs"]
mod beside;
mod common;

use beside::{Bare, How, Load, heading, row};
use common::{offer, present};

const SIZES: &str = "16,48,64,100,256,1024,4096,16384";
const ROUNDS: usize = 9;
const BYTES: usize = 256 << 20;
const WARM_UP: usize = 64 << 20;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let rounds = args.next().map_or(ROUNDS, |arg| arg.parse().unwrap());
    let sizes = args.next().unwrap_or_else(|| SIZES.to_owned());
    let bare = match args.next().as_deref() {
        Some("whole") => Bare::Whole,
        _ => Bare::Blocks,
    };
    heading("M KiB/s", "ns/KiB");
    for kib in sizes.split(',').map(|kib| kib.parse::<usize>().unwrap()) {
        let load = Load::of(kib << 10, WARM_UP, BYTES);
        let units = (load.count * kib) as f64;
        row(&format!("{kib} KiB"), rounds, load, How::ByValue, bare, units);
    }
}
