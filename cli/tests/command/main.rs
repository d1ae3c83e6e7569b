//! The command as its user sees it: processes, their stdin, stdout, signals and exit codes.
// Only tests call what stands here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod bench;
#[path = "../../../tests/common/mod.rs"]
mod common;
mod demo;
mod end;
mod input;
mod messages;
mod neighbours;
mod path;
mod peer;
mod process;
mod shell;
mod states;
mod status;
mod unread;
mod wire;
