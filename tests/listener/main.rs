//! A path has one owner: whatever is in the way is told with path and cause, and no file is touched
//! that is not ours.
#![cfg(target_os = "linux")] // The texts have Linux's error numbers in them.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests are tests too.

mod end;
mod in_the_way;
mod mode;
mod owner;
mod race;
mod support;
mod watch;
