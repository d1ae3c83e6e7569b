//! A path has one listener. It changes no file that is not its own.
#![cfg(target_os = "linux")] // The texts contain Linux's error numbers.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests too.

mod bind;
mod close;
mod mode;
mod race;
mod support;
mod watch;
