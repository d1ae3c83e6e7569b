//! The command as its user sees it: its stdin, stdout, signals and exit codes.
// Only tests call these helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod process;
mod raw_peer;
mod roles;

mod bench;
mod bus;
#[cfg(target_os = "linux")]
mod bus_handoff;
mod bus_kills;
mod completions_and_man;
mod connect_states;
mod demo;
mod exchange;
mod exchange_handoff;
mod exchange_kills;
#[cfg(all(feature = "loro", feature = "yjs"))]
mod exchange_libraries;
mod exchange_store;
mod exit;
#[cfg(target_os = "linux")]
mod handoff;
#[cfg(feature = "machines")]
mod machines;
mod messages;
#[cfg(target_os = "linux")]
mod mixed_handoff;
mod path_conflicts;
mod peer;
mod relay;
#[cfg(feature = "machines")]
mod splice;
mod status;
mod stdin_lines;
mod unread_output;
mod wire;
mod wire_faults;
