//! Round trips run with both processes on one core.
//!
//! On two cores they would mainly measure how fast a sleeping core wakes, which takes several times as long as any
//! contender's work.

use std::io;

/// Pins this process to one core.
#[cfg(target_os = "linux")]
pub(crate) fn to_one_core() -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core));
    let mut one = CpuSet::new();
    one.set(first.unwrap_or_default());
    Ok(sched_setaffinity(None, &one)?)
}

/// On other platforms the kernel chooses.
#[cfg(not(target_os = "linux"))]
pub(crate) fn to_one_core() -> io::Result<()> {
    Ok(())
}
