//! Moves a descriptor above another: a killed process closes its descriptors from the highest to the lowest.
//!
//! In: a descriptor. Out: another one of the same open file. May touch: the process's descriptors.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};

use rustix::io::fcntl_dupfd_cloexec;

/// A copy above `below`. `None` when it is above already, or none can be had.
pub(crate) fn raised(descriptor: &impl AsFd, below: RawFd) -> Option<OwnedFd> {
    let descriptor = descriptor.as_fd();
    if descriptor.as_raw_fd() > below {
        return None;
    }
    fcntl_dupfd_cloexec(descriptor, below.checked_add(1)?).ok()
}
