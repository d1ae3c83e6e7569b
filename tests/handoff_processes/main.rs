//! A server is replaced by another process while its clients, in processes of their own, are idle (`many`) or send all the
//! time (`pings`). What is measured is measured in a release build.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod many;
mod parts;
mod pings;
mod process;
#[path = "../support/mod.rs"]
mod support;
