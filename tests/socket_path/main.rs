//! A socket path, as a server and a client see it: obstacles at the path are reported with path and cause, and
//! not changed; closing leaves no file and resets no connection.
#![cfg(target_os = "linux")] // The texts contain Linux's error numbers.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests too.

mod close;
mod obstacles;
mod roles;
#[path = "../../layers/unix/tests/listener/support.rs"]
mod support;
