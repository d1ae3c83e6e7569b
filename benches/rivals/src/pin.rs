//! Round trips run with both processes on one core.
//!
//! On two cores they would mainly measure how fast a sleeping core wakes, which takes several times as long as any
//! contender's work.

use std::io;

use crate::works::Work;

/// Pins this process to a core, if the work requires it.
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

/// On other platforms the kernel chooses.
#[cfg(not(target_os = "linux"))]
pub(crate) fn settle(_work: Work) -> io::Result<()> {
    Ok(())
}
