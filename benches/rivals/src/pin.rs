//! Round trips run with both halves on one core.
//!
//! Across two cores they would measure how fast a sleeping core wakes, which is several times what
//! any of the contenders does in between.

use std::io;

use crate::works::Work;

/// Chooses this process' core, where the work asks for it.
#[cfg(target_os = "linux")]
pub(crate) fn settle(work: Work) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    if work != Work::Rtt {
        return Ok(());
    }
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core));
    let mut one = CpuSet::new();
    one.set(first.unwrap_or_default());
    Ok(sched_setaffinity(None, &one)?)
}

/// Elsewhere the kernel chooses.
#[cfg(not(target_os = "linux"))]
pub(crate) fn settle(_work: Work) -> io::Result<()> {
    Ok(())
}
