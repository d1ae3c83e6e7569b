//! Chaos: real processes on one path, killed, stopped, their socket file removed or replaced. Each time
//! the survivors must be one bus again.
//!
//! Short by default. `KYNETA_CHAOS=long` repeats each test hundreds of times;
//! `KYNETA_BIN=/path/to/kyneta-uds` tests another binary, for instance a release build, for realistic
//! figures:
//!
//! ```sh
//! cargo build --release -p kyneta-uds-cli
//! KYNETA_CHAOS=long KYNETA_BIN=target/release/kyneta-uds \
//!     cargo nextest run -p kyneta-uds-cli --test chaos
//! ```
//!
//! nextest runs them one after the other, with no other test (`.config/nextest.toml`); plain `cargo test`
//! needs `-- --test-threads=1 --nocapture` for that.
//!
//! The tests print figures with their targets. A target is for a release build on an idle machine with two
//! cores: a missed one is reported and does not fail the test; a split, a hang or a loss does.
// Only tests call these helpers.
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

/// The number of rounds: `short`, or `long` with `KYNETA_CHAOS=long`.
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
