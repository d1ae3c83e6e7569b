//! Hostile peers: processes on the socket that send false lengths, send nothing, do not read, connect in
//! thousands, or run as another user; and hostile members of a hub. The service is a process of its own, so that its memory can be
//! measured.
//!
//! Short by default. `KYNETA_HOSTILE=long` runs at full size; a release build gives realistic figures:
//!
//! ```sh
//! KYNETA_HOSTILE=long cargo nextest run --release -p kyneta-uds-cli --test hostile
//! ```
//!
//! nextest runs them one after the other, with no other test (`.config/nextest.toml`); plain `cargo test`
//! needs `-- --test-threads=1 --nocapture` for that.
// Only tests call these helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod bad_peers;
mod good_peers;
mod hostile_member;
mod members;
mod paced;
mod raw_peer;
mod relay_service;
mod service;
mod target;

mod connection_flood;
mod false_length;
mod good_beside_bad;
mod hostile_members;
mod other_uid;
mod out_of_descriptors;
mod peer_never_reads;

use support::DEADLINE;

const MIB: usize = 1 << 20;

/// An amount: `short`, or `long` with `KYNETA_HOSTILE=long`.
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
