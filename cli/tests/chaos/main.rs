//! Chaos: real processes on one path, killed, stopped, robbed of their socket file, crowded out by
//! neighbours with other manners. What must come of it is one bus, every time.
//!
//! Short by default. `KYNETA_CHAOS=long` has it done hundreds of times; `KYNETA_BIN=/path/to/kyneta-uds`
//! has another binary do it, a release build for instance, whose figures are worth reading:
//!
//! ```sh
//! cargo build --release -p kyneta-uds-cli
//! KYNETA_CHAOS=long KYNETA_BIN=target/release/kyneta-uds \
//!     cargo nextest run -p kyneta-uds-cli --test chaos
//! ```
//!
//! nextest has them done one after the other, with nothing beside them (`.config/nextest.toml`); plain
//! `cargo test` needs `-- --test-threads=1 --nocapture` for that.
//!
//! Short and long print figures beside their targets. A target is for a release build on an idle machine with
//! two cores, so that missing it is said and fails nothing; a split, a hang or a loss does.
// Only tests call what stands here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod bus;
mod foreign_listener;
mod numbered_messages;
mod round_results;
mod socket_path;

mod idle_cost;
mod listener_exits;
mod listener_killed;
mod listener_stopped;
mod message_loss;
mod queued_without_listener;
mod simultaneous_starts;
mod socket_removed;
mod socket_replaced;
mod unusable_path;
mod wire_v2_listener;

use support::DEADLINE;

/// How often something is done: `short`, or `long` when asked for.
fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

fn is_long() -> bool {
    match std::env::var("KYNETA_CHAOS").as_deref() {
        Ok("long") => true,
        Ok("") | Err(_) => false,
        Ok(other) => panic!("KYNETA_CHAOS={other}: only `long` is known"),
    }
}
