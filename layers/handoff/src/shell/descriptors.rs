//! Room for descriptors.
//!
//! In: how many will come. Out: nothing. May touch: this process's table of descriptors.

use std::{fs, os::fd::BorrowedFd};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit},
};

/// How many descriptors this process can still open.
pub(super) fn free() -> u32 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let free = limit.saturating_sub(open());
    free.try_into().unwrap_or(u32::MAX)
}

/// Makes room for `more` descriptors, before all wait for them. Where several threads share it, the kernel doubles a full
/// table with an RCU grace period, which takes milliseconds each time.
pub(super) fn make_room(like: BorrowedFd<'_>, more: u32) {
    let last = open().saturating_add(more.into());
    // Beyond the limit there is none to be had, and what comes is refused then.
    if let Ok(last) = last.try_into() {
        drop(fcntl_dupfd_cloexec(like, last));
    }
}

fn open() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64
}
