//! A server is replaced by another process while its clients, in processes of their own, are idle (`many`), send all the
//! time (`pings`), or read more slowly than is sent (`full`). What is measured is measured in a release build.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod full;
mod many;
mod parts;
mod pings;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;
