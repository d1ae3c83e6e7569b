//! What several test binaries of this crate share. Each uses a part of it.
#![allow(dead_code)]

#[path = "../../../tests/support/mod.rs"]
pub(crate) mod common;
pub(crate) mod durations;
pub(crate) mod event_log;
pub(crate) mod peer_state;
pub(crate) mod process;

use std::time::Duration;

/// Limit for every wait, long enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
