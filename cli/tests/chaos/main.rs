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

mod bus;
#[path = "../../../tests/common/mod.rs"]
mod common;
mod figures;
mod log;
mod messages;
mod path;
mod process;
mod standing;
mod stranger;
mod toll;

mod accounted;
mod bad_input;
mod graceful;
mod idle;
mod intruder;
mod killed;
mod old_wire;
mod queued;
mod removed;
mod starts;
mod stopped;

use std::time::Duration;

/// How long anything may take, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(20);

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
