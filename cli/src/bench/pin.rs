//! Pins a process of the bench to a core.
//!
//! In: the number of a core. Out: nothing. May touch: this process's affinity; elsewhere than on Linux it does
//! nothing.

use std::io;

use clap::ValueEnum;

/// Where the two processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pin {
    /// Both on one core
    Same,
    /// Each on a core of its own
    Split,
    /// Wherever the kernel puts them
    None,
}

impl Pin {
    /// The cores of server and client, as indexes into the allowed cores.
    pub(super) const fn cores(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Same => (Some(0), Some(0)),
            Self::Split => (Some(0), Some(1)),
            Self::None => (None, None),
        }
    }
}

/// Keeps this process on the `nth` of the cores that it may run on.
#[cfg(target_os = "linux")]
pub(super) fn stay_on(nth: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .nth(nth)
        .ok_or_else(|| {
            io::Error::other(format!(
                "--pin needs {} cores; {} allowed",
                nth + 1,
                allowed.count()
            ))
        })?;
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}

/// Keeps this process on the `nth` of the cores that it may run on.
#[cfg(not(target_os = "linux"))]
pub(super) fn stay_on(_nth: usize) -> io::Result<()> {
    Err(io::Error::other("--pin works on Linux alone"))
}
