//! Hostile neighbours: processes on the socket that lie, are silent, do not read, come in thousands,
//! or belong to somebody else. The service is a process of its own, so that what it holds is its own.
//!
//! Short by default. `KYNETA_HOSTILE=long` has it done at full size; of a release build the figures
//! are worth reading:
//!
//! ```sh
//! KYNETA_HOSTILE=long cargo nextest run --release -p kyneta-uds-cli --test hostile
//! ```
//!
//! nextest has them done one after the other, with nothing beside them (`.config/nextest.toml`); plain
//! `cargo test` needs `-- --test-threads=1 --nocapture` for that.
// Only tests call what stands here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod bad_peers;
mod good_peers;
mod raw_peer;
mod service;
mod target;

mod connection_flood;
mod false_length;
mod good_beside_bad;
mod other_uid;
mod out_of_descriptors;
mod peer_never_reads;

use support::DEADLINE;

const MIB: usize = 1 << 20;

/// How much of something: `short`, or `long` when asked for.
fn size<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

fn is_long() -> bool {
    match std::env::var("KYNETA_HOSTILE").as_deref() {
        Ok("long") => true,
        Ok("") | Err(_) => false,
        Ok(other) => panic!("KYNETA_HOSTILE={other}: only `long` is known"),
    }
}
