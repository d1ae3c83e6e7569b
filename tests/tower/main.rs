//! The layers beside those of tower: stacks, middleware in and above them, tower's contract, the types.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod layers;
mod middleware;
mod on_a_bus;
mod pipes;
mod stack;
mod types;
